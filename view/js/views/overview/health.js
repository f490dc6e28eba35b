import { trend } from "./trend.js";

/** @typedef {import("../../types.d.ts").Overview} Overview */
/** @typedef {"good" | "warn" | "bad" | "neutral"} Tone */
/** @typedef {{ kind: "refusing" | "impaired" | "damaged" | "keys" | "memoryOnly" | "diskLow" | "queueFull" | "behind" | "unread" | "nobody", tone: "warn" | "bad" }} Finding */

const FREE_LOW = 0.1, QUEUE_HIGH = 0.8;

/** @param {NonNullable<Overview["disk"]>} disk */
export const dataBytes = (disk) => disk.logBytes + disk.mirrorBytes + disk.snapshotBytes;

/** Less than a tenth free, or less than the data needs to be written anew beside itself. Zero of zero: not known. @param {Overview["disk"]} disk */
export const diskLow = (disk) => disk !== null && disk.totalBytes > 0
  && (disk.freeBytes < disk.totalBytes * FREE_LOW || disk.freeBytes < 2 * dataBytes(disk));

/** @param {Overview["backlog"]} backlog */
export const queueHigh = (backlog) => backlog.queueCapacity > 0 && backlog.queued >= backlog.queueCapacity * QUEUE_HIGH;

/** What somebody should look at, the worst first. @param {Overview} server @returns {Finding[]} */
export function findings(server) {
  const { backlog, clients, disk, durability, health } = server;
  const unread = (backlog.withoutConsumer?.topics ?? 0) > 0;
  /** @type {[Finding["kind"], "warn" | "bad", boolean][]} */
  const all = [
    ["refusing", "bad", health.state === "refusing"],
    ["damaged", "bad", health.damage.length > 0],
    ["impaired", "warn", health.state === "impaired" && health.reasons.length > 0],
    ["keys", "warn", health.keys !== null],
    ["diskLow", "warn", diskLow(disk)],
    ["queueFull", "warn", queueHigh(backlog)],
    ["behind", "warn", backlog.topicsBehind > 0],
    ["unread", "warn", unread],
    ["nobody", "warn", !unread && backlog.waiting > 0 && clients.consumers === 0],
    ["memoryOnly", "warn", durability === "memory"],
  ];
  return all.filter(([, , is]) => is).map(([kind, tone]) => ({ kind, tone }));
}

/**
 * Is it keeping up? `unknown` while too little was seen.
 * @param {import("../../types.d.ts").Series | null} seconds @returns {{ way: "unknown" | "empty" | "grows" | "shrinks" | "steady", tone: Tone, trend: import("./trend.js").Trend | null }}
 */
export function pace(seconds) {
  const found = trend(seconds);
  if (!found) return { way: "unknown", tone: "neutral", trend: null };
  const way = found.way !== "grows" && found.waiting === 0 ? "empty" : found.way;
  return { way, tone: way === "grows" ? "warn" : "good", trend: found };
}
