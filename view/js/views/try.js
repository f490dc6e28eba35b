import { html } from "../html.js";
import { texts } from "../i18n.js";
import { route } from "../router.js";
import { useTyped } from "./topics/typed.js";
import { Connect } from "./try/connect.js";
import { Publish } from "./try/publish.js";
import { Watch } from "./try/watch.js";

const t = texts({
  en: { title: "Try it", lead: "Publish a message, and watch a topic beside it." },
  zh: { title: "调试", lead: "发布一条消息，并在旁边实时查看收到的消息。" },
});

export default function Try() {
  const { params } = route.value;
  const [topic, setTopic] = useTyped("topic");
  return html`<div class="view"><div class="view-head"><div><h1>${t("title")}</h1><p class="lead">${t("lead")}</p></div></div>
    <div class="try-grid"><${Publish} topic=${topic} setTopic=${setTopic} /><${Watch} topic=${topic} watched=${params.watch ?? ""} /></div>
    <${Connect} topic=${params.topic ?? ""} /></div>`;
}
