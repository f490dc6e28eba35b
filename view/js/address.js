/** Where this page is, without a slash at the end: a proxy may have the broker under a path of its host. */
export const BASE = new URL(".", location.href).href.replace(/\/$/, "");

/** Where a path of the server is, for example of "/api/key". @param {string} path */
export const at = (path) => BASE + path;
