import { html } from "../html.js";
import { route } from "../router.js";
import { TopicDetail } from "./topics/detail.js";
import { TopicList } from "./topics/list.js";

export default function Topics() {
  const { id } = route.value;
  return id === null ? html`<${TopicList} />` : html`<${TopicDetail} key=${id} topic=${id} />`;
}
