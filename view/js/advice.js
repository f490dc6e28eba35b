import { texts } from "./i18n.js";

/**
 * What to do about a topic, the same words wherever it is told. `docs/metrics.md` has the English ones too, and a test
 * holds them equal.
 */
export const advice = texts({
  en: {
    behind: "Each consumer gets every message, so more consumers do not help. Make the slow one faster, raise mq.outboxMiB if the load comes in bursts, or split the topic.",
    nobody: "Start a consumer of the topic, or purge it. What waits expires after mq.cleanTime, read or not.",
    paced: "The pace holds the messages of all topics back. Raise mq.sendCount, or set mq.pushMessagesSpeed to 0 for no pace.",
  },
  zh: {
    behind: "每个消费者都会收到每条消息，增加消费者不起作用。请加快较慢的消费者；若为突发流量，可调大 mq.outboxMiB；或拆分主题。",
    nobody: "请启动该主题的消费者，或清空主题。待消费的消息在 mq.cleanTime 后过期，无论是否消费。",
    paced: "所有主题的消息都受推送速度限制。请调大 mq.sendCount，或将 mq.pushMessagesSpeed 设为 0 取消限制。",
  },
});
