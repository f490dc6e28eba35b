import { html } from "../../html.js";
import { at } from "../../address.js";
import { href } from "../../router.js";
import { Button, Card, CopyButton } from "../../ui.js";
import { t } from "./text.js";

/** For who looks at an empty broker: how to fill it. @param {{ server: import("../../types.d.ts").Overview }} props */
export function FirstSteps({ server }) {
  const socket = at("/Consumers/Conn/hello/me").replace(/^http/, "ws");
  const command = `curl -H 'secretKey: YOUR_KEY' ${at("/Producer/Send")} -d topic=hello --data-urlencode 'messageData=Hello!'`;
  return html`<${Card} title=${t("first")}><div class="column">
    <p>${t("firstLead")}</p>
    <div class="grid">
      <${Step} title=${t("listen")} how=${t("listenHow")} text=${socket} copy=${t("copyListen")} />
      <${Step} title=${t("send")} how=${t(server.durability === "disk" ? "sendHow" : "sendHowMemory")} text=${command} copy=${t("copySend")} />
    </div>
    <div class="row"><span>${t("or")}</span><${Button} small icon="try" href=${href("Try", null, { topic: "hello" })}>${t("toTry")}<//></div>
  </div><//>`;
}

/** @param {{ title: string, how: string, text: string, copy: string }} props */
const Step = ({ title, how, text, copy }) => html`<div class="first-step"><h3>${title}</h3><p class="quiet small">${how}</p>
  <div class="command"><pre>${text}</pre><${CopyButton} text=${text} label=${copy} /></div></div>`;
