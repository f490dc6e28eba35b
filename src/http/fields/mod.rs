//! One way to read the fields of a form, multipart or JSON body, as leniently as clients need.
//!
//! The original's page sends `multipart/form-data` without a boundary and the body `{}` when it has
//! no fields. That counts as a body without fields and not as an error.

pub(super) mod body;
mod form;
pub(super) mod json;

use axum::body::Body;
use axum::extract::multipart::MultipartError;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use bytestring::ByteString;

use crate::http::contract::error::ContractError;
use body::{BodyLimits, content_coding, discard, whole_body, wrong_body};
use form::{form_parts, split, unescaped};
use json::FieldValue;

/// Reads the body, and returns the values of `names`; `None` for a missing or empty one.
///
/// Of a repeated name the first value counts. Bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
///
/// The body or a value is too large, gets no memory, or is not what its content type says.
pub(super) async fn read<const N: usize>(
    request: Request,
    names: [&str; N],
    limits: BodyLimits,
) -> Result<[Option<ByteString>; N], ContractError> {
    if let Some(coding) = content_coding(request.headers()) {
        discard(request).await;
        return Err(ContractError::ContentCoding(coding));
    }
    let encoding = Encoding::of(request.headers());
    let body = whole_body(request, limits).await?;
    let mut fields = Fields {
        names,
        values: [const { None }; N],
        bytes_max: limits.value_bytes_max,
    };
    match (encoding, body.trim_ascii()) {
        (Encoding::None, _) | (_, b"" | b"{}") => {}
        (Encoding::Form, _) => fields.read_form(&body)?,
        (Encoding::Json, _) => fields.read_json(&body)?,
        (Encoding::Multipart(kind), _) => fields.read_multipart(kind, body).await?,
    }
    Ok(fields
        .values
        .map(|value| value.filter(|text| !text.is_empty())))
}

/// The content type of a body, if such a body cannot have fields.
pub(super) fn type_without_fields(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map_or_else(Default::default, |kind| {
        String::from_utf8_lossy(kind.as_bytes())
    });
    matches!(Encoding::of(headers), Encoding::None).then(|| kind.into_owned())
}

/// How a body is written.
enum Encoding {
    /// A type without fields.
    None,
    Form,
    Json,
    /// The whole content type, which has the boundary.
    Multipart(HeaderValue),
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Encoding {
        let Some(kind) = headers.get(header::CONTENT_TYPE) else {
            return Encoding::None;
        };
        let text = kind.to_str().unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Encoding::Form
        } else if essence.eq_ignore_ascii_case("application/json") {
            Encoding::Json
        } else if essence.eq_ignore_ascii_case("multipart/form-data") {
            Encoding::Multipart(kind.clone())
        } else {
            Encoding::None
        }
    }
}

/// The wanted fields, and the values found so far.
struct Fields<'a, const N: usize> {
    names: [&'a str; N],
    values: [Option<ByteString>; N],
    /// The longest value.
    bytes_max: usize,
}

impl<const N: usize> Fields<'_, N> {
    /// The index of the field `name`; `None` if it is not wanted or already found.
    fn place(&self, name: &[u8]) -> Option<usize> {
        let mut names = self.names.iter();
        let place = names.position(|wanted| wanted.as_bytes() == name)?;
        self.values[place].is_none().then_some(place)
    }

    fn read_form(&mut self, body: &[u8]) -> Result<(), ContractError> {
        let mut rest = Some(body);
        while let Some(body) = rest {
            let field;
            (field, rest) = split(body, b'&');
            let (name, value) = split(field, b'=');
            let value = value.unwrap_or_default();
            let longest = self.names.iter().map(|name| 3 * name.len()).max();
            if name.len() > longest.unwrap_or_default() {
                continue;
            }
            if let Some(place) = self.place(&unescaped(name)) {
                let mut bytes = 0;
                form_parts(value, |part| bytes += part.len());
                self.check_length(bytes)?;
                self.values[place] = Some(self.to_text(unescaped(value))?);
            }
        }
        Ok(())
    }

    async fn read_multipart(
        &mut self,
        kind: HeaderValue,
        body: Vec<u8>,
    ) -> Result<(), ContractError> {
        let malformed =
            |error: MultipartError| wrong_body("multipart/form-data", error.body_text());
        let mut request = Request::new(Body::from(body));
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        DefaultBodyLimit::disable().apply(&mut request);
        let Ok(mut parts) = Multipart::from_request(request, &()).await else {
            return Ok(()); // there is no boundary
        };
        while let Some(mut part) = parts.next_field().await.map_err(malformed)? {
            let Some(place) = part.name().and_then(|name| self.place(name.as_bytes())) else {
                continue;
            };
            let mut value = vec![];
            while let Some(chunk) = part.chunk().await.map_err(malformed)? {
                self.check_length(value.len() + chunk.len())?;
                value.extend_from_slice(&chunk);
            }
            self.values[place] = Some(self.to_text(value)?);
        }
        Ok(())
    }

    fn read_json(&mut self, body: &[u8]) -> Result<(), ContractError> {
        const KIND: &str = "a JSON object of texts";
        let fields = json::fields(body).map_err(|error| wrong_body(KIND, error))?;
        for (name, value) in fields {
            let name = name.unescaped();
            let Some(place) = self.place(&name) else {
                continue;
            };
            let value = match value {
                FieldValue::Text(text) => {
                    self.check_length(text.bytes())?;
                    text.unescaped()
                }
                FieldValue::Number(digits) => digits.to_vec(),
                FieldValue::Null => continue,
                FieldValue::Other => {
                    let name = self.names[place];
                    return Err(wrong_body(
                        KIND,
                        format!("{name} is neither a text nor a number"),
                    ));
                }
            };
            self.values[place] = Some(self.to_text(value)?);
        }
        Ok(())
    }

    /// A value as text. Bytes that are not UTF-8 become U+FFFD, unless that makes it too long.
    fn to_text(&self, value: Vec<u8>) -> Result<ByteString, ContractError> {
        let broken = match String::from_utf8(value) {
            Ok(text) => return Ok(text.into()),
            Err(error) => error.into_bytes(),
        };
        let parts = || {
            broken.utf8_chunks().flat_map(|chunk| {
                let is_broken = !chunk.invalid().is_empty();
                [chunk.valid(), if is_broken { "\u{fffd}" } else { "" }]
            })
        };
        let bytes = parts().map(str::len).sum();
        self.check_length(bytes)?;
        let mut text = String::with_capacity(bytes);
        text.extend(parts());
        Ok(text.into())
    }

    fn check_length(&self, bytes: usize) -> Result<(), ContractError> {
        let bytes_max = self.bytes_max;
        match bytes > bytes_max {
            true => Err(ContractError::DataTooLarge { bytes, bytes_max }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";
    const PARTS: &str = "multipart/form-data; boundary=XX";
    const LIMITS: BodyLimits = BodyLimits {
        bytes_max: 300,
        value_bytes_max: 150,
        ..BodyLimits::SMALL
    };

    async fn read_as(kind: &str, body: impl Into<Body>) -> Result<[String; 2], String> {
        let request = Request::post("/").header("Content-Type", kind);
        let request = request.body(body.into()).unwrap();
        let fields = read(request, ["a", "b"], LIMITS).await;
        fields
            .map(|values| values.map(|value| value.unwrap_or_default().into()))
            .map_err(|error| format!("{error:?}"))
    }

    fn ab(a: &str, b: &str) -> Result<[String; 2], String> {
        Ok([a.into(), b.into()])
    }

    fn part(headers: &str, data: &str) -> String {
        format!("--XX\r\nContent-Disposition: form-data; {headers}\r\n\r\n{data}\r\n")
    }

    #[tokio::test]
    async fn a_form_has_fields() {
        assert_eq!(
            read_as(FORM, "c=0&a=1+2&b=%C3%A9&a=3").await,
            ab("1 2", "é")
        );
        let upper = "Application/X-WWW-Form-Urlencoded; charset=UTF-8";
        assert_eq!(read_as(upper, "a=%2B&b").await, ab("+", ""));
        assert_eq!(
            read_as(FORM, b"a=\xff&b=%ff%".to_vec()).await,
            ab("\u{fffd}", "\u{fffd}%")
        );
    }

    #[tokio::test]
    async fn multipart_has_fields() {
        let file = "name=\"b\"; filename=\"b.txt\"\r\nContent-Type: text/plain";
        let parts = [
            part("name=\"a\"", "1\r\n2"),
            part(file, "é"),
            part("name=\"a\"", "3"),
        ];
        let body = parts.concat() + "--XX--\r\n";
        assert_eq!(read_as(PARTS, body).await, ab("1\r\n2", "é"));
        let body = [part("name=\"a\"", "").as_bytes(), b"--XX--\r\n"].concat();
        assert_eq!(read_as(PARTS, body).await, ab("", ""));
    }

    #[tokio::test]
    async fn json_has_fields() {
        let json = "application/json; charset=utf-8";
        let body = r#"{"c":[{}],"a":"\u00e9\n","b":-1.50,"a":"3"}"#;
        assert_eq!(read_as(json, body).await, ab("é\n", "-1.50"));
        assert_eq!(
            read_as(json, r#" {"a":null,"b":12345678901234567890} "#).await,
            ab("", "12345678901234567890")
        );
        assert_eq!(
            read_as(json, b"{\"a\":\"\xff\"}".to_vec()).await,
            ab("\u{fffd}", "")
        );
    }

    #[tokio::test]
    async fn a_value_over_the_limit_is_refused_also_if_mending_makes_it_so() {
        const JSON: &str = "application/json";
        let (most, over) = (LIMITS.value_bytes_max, LIMITS.value_bytes_max + 1);
        let broken = |before: &[u8], bytes: usize, behind: &[u8]| {
            [before, &vec![0xff; bytes], behind].concat()
        };
        let (json, form) = (br#"{"a":""#.as_slice(), b"a=".as_slice());
        let mended = "\u{fffd}".repeat(most / 3);
        assert_eq!(
            read_as(JSON, broken(json, most / 3, b"\"}")).await,
            ab(&mended, "")
        );
        assert_eq!(
            read_as(FORM, broken(form, most / 3, b"")).await,
            ab(&mended, "")
        );
        let refused = format!("DataTooLarge {{ bytes: {over}, bytes_max: {most} }}");
        let whole = "x".repeat(over);
        let parts = part("name=\"a\"", &whole) + "--XX--\r\n";
        for (kind, body) in [
            (JSON, format!("{{\"a\":\"{whole}\"}}")),
            (FORM, format!("a={whole}")),
            (PARTS, parts),
        ] {
            assert_eq!(read_as(kind, body).await, Err(refused.clone()));
        }
        for (kind, body) in [
            (JSON, broken(json, most / 3 + 1, b"\"}")),
            (FORM, broken(form, most / 3 + 1, b"")),
        ] {
            let error = read_as(kind, body).await.unwrap_err();
            assert!(error.starts_with("DataTooLarge"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_has_no_fields_is_no_error() {
        for kind in [
            FORM,
            PARTS,
            "application/json",
            "multipart/form-data",
            "text/plain",
            "",
        ] {
            for body in ["", "{}", " {}\n"] {
                assert_eq!(read_as(kind, body).await, ab("", ""), "{kind:?} {body:?}");
            }
        }
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary",
            "text/plain",
            "",
        ] {
            assert_eq!(read_as(kind, "a=1&b=2").await, ab("", ""), "{kind:?}");
        }
        let request = Request::post("/?a=1").body(Body::from("a=1")).unwrap();
        assert!(matches!(read(request, ["a"], LIMITS).await, Ok([None])));
    }

    #[tokio::test]
    async fn a_malformed_body_is_an_error_with_a_reason() {
        for (kind, body, reason) in [
            ("application/json", "{\"a\":", "EOF while parsing"),
            ("application/json", "{\"a\":1} x", "trailing characters"),
            ("application/json", "[1]", "expected an object"),
            (
                "application/json",
                "{\"a\":[1]}",
                "a is neither a text nor a number",
            ),
            (
                "application/json",
                "{\"a\":true}",
                "a is neither a text nor a number",
            ),
            (PARTS, "a=1&b=2", "multipart/form-data"),
            (
                PARTS,
                "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
                "multipart/form-data",
            ),
        ] {
            let error = read_as(kind, body).await.expect_err(body);
            assert!(error.contains(reason), "{error}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_read_but_not_kept() {
        let chunks = || (0..4).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 100]));
        let fits = Body::from_stream(futures_util::stream::iter(chunks().take(3)));
        assert_eq!(read_as(FORM, fits).await, ab("", ""));
        let over = Body::from_stream(futures_util::stream::iter(chunks()));
        let error = read_as(FORM, over).await.unwrap_err();
        assert_eq!(error, "BodyTooLarge { bytes_max: 300 }");
        let error = read_as("text/plain", "a".repeat(301)).await.unwrap_err();
        assert_eq!(error, "BodyTooLarge { bytes_max: 300 }");
    }
}
