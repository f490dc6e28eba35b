/**
 * The JSON of DPMQ's console API (`/api/…`), as the server sends it.
 *
 * Every request carries the header `secretKey`. Times are Unix seconds unless the name ends in
 * `Ms` (Unix milliseconds). A refusal has an ordinary HTTP status (400, 401, 403, 404, 405, 409, 413, 503, 500) and the body
 * `{"error":{"code":"…","message":"…"}}`; 401 is a wrong, expired or missing key, 403 one that is not good for this. Numbers are exact up to 2^53.
 * Cursors are opaque texts: what came as `next` is sent back as `cursor`; `null` means: nothing more.
 */

/** "accepted" is protocol status -1, "not_consumed" 0, "consumed" 1. */
export type Status = "accepted" | "not_consumed" | "consumed";

export interface ApiFailure { error: { code: string; message: string } }

export interface Counts { all: number; accepted: number; notConsumed: number; consumed: number }

/** GET /api/key: what the key of the request is good for. */
export interface Key {
  name: string;
  rights: ("publish" | "consume" | "console-read" | "console-change")[];
  /** "orders", "orders*", or "*" for all. */
  topics: string[];
  expires: number | null;
}

/** GET /api/overview. Also the data of the event `overview` of GET /api/events (once a second). */
export interface Overview {
  version: string;
  startedAt: number;
  nowMs: number;
  /** `ok`; `refusing`: messages cannot be stored now (reasons say why). */
  health: { state: "ok" | "impaired" | "refusing"; reasons: string[]; /** What of the store cannot be read. */ damage: string[]; /** Why the file of keys cannot be used. */ keys: string | null };
  durability: "disk" | "memory";
  counts: Counts;
  /** Per second, mean of the last 10 full seconds. delivered: written to consumers, each one counted. */
  rates: { accepted: number; delivered: number; consumed: number; notConsumed: number };
  backlog: {
    /** accepted + not consumed */
    waiting: number;
    /** Messages in the queue, on their way to be pushed; of at most queueCapacity. */
    queued: number;
    queueCapacity: number;
    /** Topics whose consumers all have full outboxes. */
    topicsBehind: number;
    /** When the oldest waiting message was created. */
    oldestWaiting: number | null;
    /** Topics without a consumer in which a message has waited for `afterSeconds`: GET /api/attention names them. */
    withoutConsumer: { afterSeconds: number; topics: number; messages: number } | null;
  };
  /** Messages a second that leave at most, of all topics together (mq.sendCount, mq.pushMessagesSpeed); null: no pace. */
  pacePerSecond: number | null;
  memory: { residentBytes: number | null };
  /** null when durability is "memory". */
  disk: { path: string; logBytes: number; mirrorBytes: number; snapshotBytes: number; freeBytes: number; totalBytes: number } | null;
  clients: { consumers: number; producers: number };
  topics: number;
  /** The newest full second of the series. */
  last: SeriesPoint;
}

export interface SeriesPoint { at: number; accepted: number; delivered: number; consumed: number; notConsumed: number; waiting: number }

/** GET /api/series?step=1|60|3600&points=300. In memory since the start of the server: kept 1 s × 1 h, 1 min × 1 d, 1 h × 30 d.
 *  Columns are of equal length, oldest first; `start` is the time of the first. Counts are per step, `waiting` is at its end.
 *  Before `since` the server did not run: those points are left out. */
export interface Series {
  step: number; start: number; since: number;
  accepted: number[]; delivered: number[]; consumed: number[]; notConsumed: number[]; waiting: number[];
}

/** GET /api/growth?bucket=day|quarter&days=7. Messages accepted, from the store: survives restarts and expiry.
 *  `day`: days of the server's zone, 1…400 days. `quarter`: quarters of an hour of UTC, 1…31 days. Buckets without messages are there with 0. Oldest first.
 *  `seconds` is the distance of quarters; days may be 23–25 h long, so each has its start. */
export interface Growth { bucket: "day" | "quarter"; zone: string; buckets: { start: number; accepted: number }[] }

/** GET /api/topics?search=&sort=waiting|name|oldest|consumers|rate&order=asc|desc&limit=50&cursor=  (search: part of the name, without case) */
export interface TopicList { topics: TopicRow[]; total: number; next: string | null }
export interface TopicRow {
  topic: string; counts: Counts; waiting: number; oldestWaiting: number | null;
  consumers: number; producers: number;
  /** Per second, mean of the last 10 s. */
  rateIn: number; rateOut: number;
  /** All its consumers' outboxes are full: messages wait in the store. */
  behind: boolean;
  /** Its messages wait for the pace: seconds until the queue of this moment has left; null: they do not. */
  paceSeconds: number | null;
}
/** GET /api/attention: the topics that somebody should look at, at most 20 of `total`, the most waiting first. */
export interface Attention { afterSeconds: number; total: number; topics: ConcernedTopic[] }
export interface ConcernedTopic extends TopicRow { reason: "no_consumer" | "behind" }
/** GET /api/topic?topic=, or /api/topics/{topic} (percent-encoded). 404 when it has neither messages nor clients. At most 50 clients: GET /api/clients?topic= has all. */
export interface TopicDetail extends TopicRow { clients: Client[] }
/** POST /api/topic/purge?topic=: deletes its messages, synced when answered. `confirm` must be the topic's name, else 409. */
export interface PurgeRequest { confirm: string; what: "waiting" | "consumed" | "all" }
export interface PurgeReply { deleted: number }
/** GET /api/topic/watch?topic=: server-sent events, without consuming anything: `message` (Message, with data up to 64 KiB, see dataComplete)
 *  as each is accepted from now on, `missed` {"missed": n} when this connection was too slow. */

/** GET /api/messages?topic=&status=&from=&to=&limit=50&cursor= : newest first, looking changes nothing. from/to: Unix seconds, inclusive. limit 1…500. */
export interface MessageList { messages: MessageRow[]; next: string | null }
export interface MessageRow {
  sequence: number; code: string; topic: string; status: Status;
  created: number; consumed: number | null;
  bytes: number;
  /** The first 256 characters. */
  preview: string; previewComplete: boolean;
}
/** GET /api/search?text=&topic=&status=&from=&to=&limit=50&look=1000000&cursor= : newline-delimited JSON, streamed; text is looked for in the data, without case.
 *  Close the connection to cancel. Ends at `limit` matches, after `look` messages, or at the end of what there is. */
export type SearchLine =
  | { message: MessageRow }
  /** Now and then, and before end. `reached`: created time of the message looked at last. */
  | { progress: { looked: number; found: number; reached: number | null } }
  | { end: { looked: number; found: number; reached: number | null; reason: "end" | "limit" | "look"; next: string | null } }
  | { error: { code: string; message: string } };

/** GET /api/messages/{code}: 40 hex digits. */
export interface Message {
  sequence: number; code: string; topic: string; status: Status; created: number; consumed: number | null;
  bytes: number; data: string; dataComplete: boolean;
}
export interface MessageDetail extends Message {
  life: {
    /** When it will expire; null: it will not. */
    expires: number | null;
    /** Hand-overs that are remembered (in memory, the newest of all topics), oldest first. */
    pushes: Push[];
    /** Hand-overs before this are not remembered. */
    pushesSince: number;
    /** Why it is still waiting; null when consumed. */
    waiting: Waiting | null;
  };
}
export interface Push {
  atMs: number;
  /** The first 16 of them. */
  consumers: { number: number; id: string; ip: string }[];
  consumersTotal: number;
  /** Consumers that it was written to, so far; and whose session ended or failed before. */
  written: number; failed: number;
}
export type Waiting =
  /** In the queue; about `ahead` messages leave before it. */
  | { reason: "queued"; ahead: number }
  /** Handed to consumers, whose sockets have not taken it yet. */
  | { reason: "outbox" }
  /** All consumers of the topic have full outboxes. */
  | { reason: "behind" }
  /** The topic has no consumer. Pushed at the check after one connects. */
  | { reason: "no_consumer" }
  /** Pushed again at the next check, in at most so many seconds. */
  | { reason: "next_check"; seconds: number }
  /** mq.isRePush is 0: it is not pushed again by itself. */
  | { reason: "no_re_push" };

/** POST /api/messages (JSON) → 201. Synced when answered. */
export interface PublishRequest { topic: string; data: string }
export interface PublishReply { code: string }
/** DELETE /api/messages/{code}?confirm={topic} → 204, synced. 409 when confirm is not its topic. */
/** POST /api/messages/{code}/push → 202: a not consumed message goes back to the queue. 409 `already_waiting` | `already_consumed`, 503 `queue_full`. */

/** POST /api/exports → 201: a link that works once, for 60 s, without the key. Everything that matches, newest first. */
export interface ExportRequest { format: "csv" | "ndjson"; topic?: string; status?: Status; from?: number; to?: number; text?: string }
export interface ExportReply { url: string; expires: number }

/** GET /api/clients?role=consumer|producer&topic=&search=&limit=50&cursor= : longest connected first. search: part of id or address. */
export interface ClientList { clients: Client[]; total: number; next: string | null }
export interface Client {
  number: number; role: "consumer" | "producer"; id: string; topic: string; ip: string; since: number;
  /** The name of the key that it logged in with. */
  key: string;
  /** Written to it, or received from it. */
  messages: number;
  outbox: { messages: number; messagesMax: number; bytes: number; bytesMax: number } | null;
}
/** DELETE /api/clients/{number}?confirm={topic} → 204: its connection is closed (1008, "disconnected by the operator"); 409 when confirm is not its topic; 404. */

/** GET /api/config */
export interface Config { settings: Setting[] }
export interface Setting {
  /** "mq.sendCount" */
  key: string;
  /** Text as it would be written in the yaml; null when secret. */
  value: string | null; default: string | null;
  /** "default", "config/application.yaml", "DPMQ_MQ_SEND_COUNT", "--port" … */
  source: string;
  /** Another value in the file counts when the server reads it again (SIGHUP); else from the next start on. */
  reloads: boolean;
  meaning: string; secret: boolean;
}

/** GET /api/events: server-sent events `overview` (Overview), at once and then each second. Use fetch with the header, not EventSource. A comment line every 15 s. */
/** GET /api/openapi.json: the description of all this; without the key. */
