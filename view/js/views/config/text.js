import { lang, texts } from "../../i18n.js";

export const t = texts({
  en: {
    title: "Configuration",
    lead: "The settings in effect. Each layer overrides the one before: built-in default, file, environment, command line. "
      + "A change in the file takes effect at a reload (SIGHUP, systemctl reload dpmq), or, if the setting needs one, at a restart. "
      + "Values from variables and arguments stay until a restart too.",
    change: "Change", reloads: "reloads", restart: "needs a restart",
    filter: "Filter", filterHint: "name, value, source or meaning", onlyChanged: "Only what differs from the default",
    shown: "{shown} of {all} settings, {changed} {changed|differs|differ} from the default",
    copyYaml: "Copy the changed ones as YAML", failed: "The configuration could not be loaded.",
    key: "Setting", value: "Value", usual: "Default", source: "Source", meaning: "Meaning", changed: "changed", secret: "hidden", isDefault: "default",
    publicKey: "published default",
    none: "No setting matches", noneHint: "Change the filter, or show all settings.", noneChanged: "Every setting has its default.",
    showAll: "Show all settings", empty: "empty",
    server: "Server", mq: "Message queue", log: "Log", settingsOf: "Settings of {section}",
  },
  zh: {
    title: "配置",
    lead: "当前生效的配置。优先级由低到高：内置默认值、配置文件、环境变量、命令行。修改配置文件后，重新加载（SIGHUP、systemctl reload dpmq）即生效；标为“需重启”的在重启后生效，由环境变量或命令行设置的也是如此。",
    change: "修改", reloads: "可重新加载", restart: "需重启",
    filter: "筛选", filterHint: "名称、值、来源或说明", onlyChanged: "仅显示与默认值不同的",
    shown: "显示 {shown} 项，共 {all} 项；其中 {changed} 项与默认值不同",
    copyYaml: "将已修改的配置复制为 YAML", failed: "无法加载配置。",
    key: "配置项", value: "当前值", usual: "默认值", source: "来源", meaning: "说明", changed: "已修改", secret: "已隐藏", isDefault: "默认",
    publicKey: "公开的默认密钥",
    none: "没有匹配的配置项", noneHint: "请修改筛选条件，或显示全部配置。", noneChanged: "所有配置均为默认值。", showAll: "显示全部", empty: "空",
    server: "服务器", mq: "消息队列", log: "日志", settingsOf: "{section}配置",
  },
});

/** The server tells the meanings in English. @type {Record<string, string>} */
const ZH = {
  "server.port": "监听端口；0 表示任意空闲端口",
  "server.host": "监听地址；0.0.0.0 为所有 IPv4 地址，:: 为所有地址",
  "server.allowDefaultKey": "1：即使使用公开的默认密钥或少于 8 个字符的密钥，也向本机以外监听",
  "server.maxMessageBytes": "可接收的最大消息，单位字节",
  "server.sendWaitSeconds": "HTTP 发送等待队列空位的秒数",
  "server.drainSeconds": "停止时留给现有连接的秒数",
  "server.loginAttempts": "WebSocket 客户端可以输错密钥的次数，之后关闭连接",
  "server.loginSeconds": "WebSocket 客户端完成登录的时限，单位秒",
  "server.pingSeconds": "向 WebSocket 客户端发送 ping 的间隔秒数；断线的客户端在下一次 ping 之后半分钟内被发现并关闭；0 表示不发送",
  "server.requestSeconds": "客户端发送请求头（含 TLS 握手）的时限，单位秒；请求体按每秒 64 KiB 相应延长",
  "server.maxConnections": "同时连接数上限；0 表示可打开文件数减 128",
  "server.maxConnectionsPerAddress": "单个地址（IPv6 为一个 /64 网段）的连接数上限；0 表示总数的一半，本机（可能是代理）不受此限",
  "server.trustedProxies": "受信任的代理的地址或网段，如 10.0.0.7,fd00::/8；客户端地址取自它们的 X-Forwarded-For",
  "server.inboundMiB": "正在接收的、大于 64 KiB 的消息共用的内存，单位 MiB；其余的等待，HTTP 请求最多等 server.requestSeconds",
  "server.tlsCert": "证书（含中间证书）文件，PEM 格式；设置后该端口只接受 https 和 wss；更换文件无需重启",
  "server.tlsKey": "tlsCert 的私钥文件，PEM 格式",
  "server.metrics": "/metrics 的访问权限：0 关闭，1 需要具备 console-read 权限的密钥，2 公开",
  "server.metricsTopics": "在 /metrics 中逐个列出的主题，例如 orders,eu-*；* 表示全部；最多 1000 个；留空则不列出",
  "server.keysFile": "命名密钥文件，由 dpmq key 生成；持续检查，可以不存在",
  "server.origins": "浏览器页面的允许来源，如 https://a.example,https://b.example；*：任意，使用公开的默认密钥时仅限本机的页面",
  "mq.secretKey": "拥有全部权限的密钥；每个客户端都必须出示它或一个命名密钥",
  "mq.messageChanBuffer": "等待推送的消息条数上限；达到上限后生产者等待",
  "mq.pushMessagesSpeed": "两批推送之间的秒数；可为小数，0 表示不停顿",
  "mq.sendCount": "每批推送的消息条数",
  "mq.sendRetryCount": "某个消费者的发送缓冲区已满而其他消费者未满时，立即重试的次数；之后关闭已满者的会话",
  "mq.persistentFile": "快照文件",
  "mq.isPersistent": "1：消息保存到磁盘；0：仅内存，重启后全部丢失",
  "mq.recoveryStrategy": "1：启动时恢复；0：每次启动都删除存储和快照",
  "mq.persistentTime": "两次快照之间的秒数",
  "mq.isRePush": "1：重新推送无人消费的消息",
  "mq.isClean": "1：删除过期消息",
  "mq.checkSpeed": "两次检查（重推、过期）之间的秒数",
  "mq.checkCount": "不起作用，仅为兼容旧配置文件而保留",
  "mq.cleanTime": "消息过期的秒数",
  "mq.queueMemoryMiB": "队列中消息数据可用的内存；超出部分从磁盘读回",
  "mq.outboxMessages": "每个消费者的发送缓冲区最多容纳的消息条数",
  "mq.outboxMiB": "每个消费者的发送缓冲区可用的内存，单位 MiB",
  "mq.writeSeconds": "发送缓冲区已满的客户端，超过该秒数完全不读取，则关闭其连接",
  "mq.segmentMiB": "日志达到此大小时换新文件；越小则空间归还越早",
  "log.level": "error、warn、info、debug、trace、off，或过滤指令",
  "log.file": "1：同时写入 log/dpmq-YYYY-MM.log",
  "log.format": "text：便于阅读的行；json：每行一个 JSON 对象",
  "log.auditFile": "审计日志文件，单独记录变更操作和被拒绝的请求；空：不写",
};

/** @param {import("../../types.d.ts").Setting} setting */
export const meaningOf = ({ key, meaning }) => (lang.value === "zh" && Object.hasOwn(ZH, key) ? ZH[key] : meaning);

/** @param {string} section */
export const sectionName = (section) => (section === "server" || section === "mq" || section === "log" ? t(section) : section);
