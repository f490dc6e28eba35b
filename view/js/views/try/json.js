/** Data nested deeper than anybody reads would become a page of spaces. */
const INDENTS_MAX = 60;

/**
 * JSON with line ends and indentation. Only spaces between values change: numbers beyond what JavaScript counts and
 * names that come twice stay as they are, which parsing and writing would not give. Throws when it is not JSON.
 * @param {string} text
 */
export function formatJson(text) {
  JSON.parse(text);
  let out = "", depth = 0, before = "";
  const line = () => `\n${"  ".repeat(Math.min(depth, INDENTS_MAX))}`;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g)) {
    const opened = before === "{" || before === "[";
    if (token === "}" || token === "]") { depth--; out += opened ? token : line() + token; }
    else out += (opened ? line() : "") + (token === "," ? token + line() : token === ":" ? ": " : token);
    if (token === "{" || token === "[") depth++;
    before = token;
  }
  return out;
}
