import { html, render } from "./html.js";
import { key } from "./api.js";
import "./theme.js";
import { Login } from "./login.js";
import { Shell } from "./shell.js";

const App = () => (key.value === null ? html`<${Login} />` : html`<${Shell} />`);

render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
