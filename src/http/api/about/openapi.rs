//! GET /api/openapi.json: the description of this API for people and programs.

use axum::http::StatusCode;
use axum::response::Response;

use crate::http::api::reply;
use crate::http::api::request::params::NoParams;

/// The description in OpenAPI 3.1.
const DESCRIPTION: &str = include_str!("../../../../docs/openapi.json");

/// GET /api/openapi.json.
pub(in crate::http::api) async fn description(_: NoParams) -> Response {
    reply::json(StatusCode::OK, DESCRIPTION)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::http::Needs;
    use crate::http::api::ROUTES;

    fn description() -> Value {
        serde_json::from_str(DESCRIPTION).unwrap()
    }

    fn name(method: &str) -> String {
        method.to_lowercase()
    }

    /// Every operation as `method path`, and what it says.
    fn operations(description: &Value) -> Vec<(String, &Value)> {
        let paths = description["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
        });
        operations
            .filter(|(name, _)| !name.starts_with("parameters "))
            .collect()
    }

    #[test]
    fn what_is_described_is_what_there_is() {
        let description = description();
        let described: BTreeSet<_> = operations(&description)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let routes: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| format!("{} {}", name(route.method), route.path))
            .collect();
        assert_eq!(described, routes);
        assert_eq!(routes.len(), ROUTES.len(), "a route is there twice");
    }

    #[test]
    fn what_is_described_as_open_is_open() {
        let description = description();
        for (operation, text) in operations(&description) {
            let open = text
                .get("security")
                .is_some_and(|keys| keys == &serde_json::json!([]));
            let route = ROUTES
                .iter()
                .find(|route| operation == format!("{} {}", name(route.method), route.path))
                .unwrap();
            assert_eq!(open, route.needs == Needs::Nothing, "{operation}");
        }
    }

    #[test]
    fn parameters_of_paths_are_described() {
        let description = description();
        for (path, methods) in description["paths"].as_object().unwrap() {
            let wanted = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            let wanted: Vec<_> = wanted.collect();
            let described = methods.get("parameters").and_then(Value::as_array);
            let described: Vec<_> = described
                .map(|all| all.iter().filter_map(|one| one["name"].as_str()).collect())
                .unwrap_or_default();
            assert_eq!(described, wanted, "{path}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let description = description();
        let mut found = vec![];
        references(&description, &mut found);
        assert!(found.len() > 50, "there are references");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
    }
}
