import { texts } from "../../i18n.js";

/** The texts of the overview's parts. */
export const t = texts({
  en: {
    title: "Overview", lead: "DPMQ {version}, running for {uptime}, since {time}",
    isWell: "Health", well: "OK", lookAt: "{n} {n|issue|issues}", refusing: "Messages are refused", unknownState: "Unknown", unknownDetail: "The server does not answer. This is how it was last.",
    onDisk: "Synced to disk before the answer.", inMemory: "Kept in memory only.",
    isKeeping: "Delivery", empty: "Up to date", steady: "Backlog is steady", grows: "Backlog grows", shrinks: "Backlog shrinks", unknown: "Measuring…",
    emptyDetail: "There is no backlog.", steadyDetail: "Little changed in {seconds}.", growsDetail: "By {rate}, measured over {seconds}.", shrinksDetail: "By {rate}, measured over {seconds}; empty in about {eta} at this pace.", unknownDetailPace: "This takes some seconds.",
    whatWaits: "Backlog", nothing: "None", messages: "{n} {n|message|messages}", oldest: "The oldest for {duration}", waitsNothing: "Every message is consumed.", noMessages: "There are no messages.", byTopic: "by topic",

    impairedTitle: "Messages are stored, but not everything beside them can be written.", impairedFix: "Nothing is lost, and it is made up as soon as it can be written again. Look at the disk under {path}.",
    keysTitle: "The file of named keys cannot be used.", keysFix: "The keys of before stay in use: what was revoked or added since does not count. Mend the file; it is looked at all the time.",
    refusingTitle: "Messages are refused: nothing can be stored now.", reasonsAre: "What the server says:",
    fixSpace: "Free space on the disk of “{path}”, or make it larger. The broker tries again by itself; no restart is needed. Producers get an error until then.",
    fixSync: "After a failed sync nobody knows what the disk holds. Check the disk, then restart the server: it restores all that was acknowledged.",
    fixAccess: "The server may not write to “{path}”. Check the owner, the permissions and how the disk is mounted.",
    fixOther: "Look at the server’s log and at the disk of “{path}”. Producers get an error until it is solved.",
    damagedTitle: "Stored data is damaged. Everything else is served.", damagedFix: "Check the disk. The server’s log names all that is damaged; a backup may still have it.",
    memoryOnlyTitle: "Durability: memory only. Every message is lost when the server stops.", memoryOnlyFix: "Set mq.isPersistent to 1 and restart to keep messages on disk.",
    diskLowTitle: "The disk is nearly full: {free} of {total} are free.", diskLowFix: "When it is full, messages are refused. Free space, or let messages expire sooner (mq.cleanTime). The log and the snapshot need room to be rewritten: about twice the data, {data}.",
    queueFullTitle: "The queue is nearly full: {queued} of {capacity}.", queueFullFix: "When it is full, producers wait.", queueFullElse: "Have fewer or slower producers; a larger mq.messageChanBuffer takes more before they wait.",
    behindTitle: "{n} {n|topic is|topics are} behind: the send buffers of all consumers are full.",
    unreadTitle: "{messages} {messages|message waits|messages wait} in {n} {n|topic|topics} that nobody listens to.", unreadSince: "Some have waited for more than {duration}.", comma: ", ", andMore: "and {n} more",
    attention: "Topics that need attention", allTopics: "All topics; {n} need attention", topic: "Topic", state: "State", oldestWaiting: "Oldest waiting",
    nobodyTitle: "Nobody listens: no consumer is connected.", nobodyFix: "{n} {n|message waits|messages wait} until a consumer of the topic connects.",
    toConfig: "Configuration", toTopics: "Topics", toClients: "Clients", toTry: "Try it",

    figures: "Figures", accepted: "Accepted", delivered: "Delivered", consumed: "Consumed", mean: "mean of 10 s", deliveredHint: "each consumer counted",
    queue: "Queue", ofCapacity: "of {capacity}", behind: "Lagging topics", behindNone: "all consumers keep up", behindSome: "send buffers are full",
    consumers: "Consumers", producers: "Producers", connected: "connected", topics: "Topics", topicsHint: "with messages or clients", pace: "Pace", paceHint: "at most, for all topics", memory: "Memory", memoryHint: "of the process", notKnown: "not known", disk: "Disk", free: "{free} free", noDisk: "none, memory only",

    traffic: "Traffic", waiting: "Waiting", waitingMessages: "Waiting messages: accepted and not consumed", notConsumed: "Not consumed", range: "Span of the charts", perSecond: "Messages per second", perSecondMean: "Messages per second, mean of {each}",
    "5m": "5 min", "15m": "15 min", "1h": "1 h", "24h": "24 h", "30d": "30 d", all: "Since the start",
    notYet: "Not yet: the server has run for {age} only, and the series begin with its start.", notYetShort: "Longer spans come with time: the series began with the server, {age} ago.", noTraffic: "The first points come in a few seconds", seriesFailed: "The series could not be loaded.",

    week: "Recent messages", total: "{n} (last week)", weekLead: "Accepted per day, in {zone}", dayHas: "{day}: {n} {n|message|messages}", today: "today", chooseDay: "Choose a day to see its hours.", hoursOf: "Hours of {day}: {n} {n|message|messages}", closeDay: "Hide the hours", growthFailed: "The growth could not be loaded.", notInWeek: "{day} is not one of the last seven days.", perHour: "Accepted per hour, {day}",
    byStatus: "Messages by status", all_: "All", code: "protocol status {code}",
    storage: "Storage", log: "Log", mirror: "Mirror", snapshot: "Snapshot", data: "Data", freeOf: "{free} of {total} ({percent})", freeLabel: "Free", path: "Path", noStorage: "Nothing is kept on disk (mq.isPersistent is 0).",

    first: "First steps", firstLead: "The broker holds no message. Send one and see it arrive: put your secret key in place of YOUR_KEY.",
    listen: "1. Listen", listenHow: "Connect a WebSocket client to the topic “hello”. Its first frame is the secret key; then messages are pushed as JSON.", send: "2. Send", sendHow: "The answer is code 0 and the message’s code, once it is synced to disk.", sendHowMemory: "The answer is code 0 and the message’s code.", or: "Or do both in this page:", copyListen: "Copy the WebSocket address", copySend: "Copy the command",
  },
  zh: {
    title: "概览", lead: "DPMQ {version}，已运行 {uptime}，启动于 {time}",
    isWell: "运行状态", well: "正常", lookAt: "{n} 项需要关注", refusing: "拒收消息", unknownState: "未知", unknownDetail: "服务器没有响应，以下为最后一次的状态。",
    onDisk: "消息写入磁盘后才应答。", inMemory: "消息仅保存在内存中。",
    isKeeping: "消费进度", empty: "无积压", steady: "积压平稳", grows: "积压增加", shrinks: "积压减少", unknown: "测量中…",
    emptyDetail: "没有待消费的消息。", steadyDetail: "最近 {seconds}变化不大。", growsDetail: "最近 {seconds}以 {rate}的速度增加。", shrinksDetail: "最近 {seconds}以 {rate}的速度减少，约 {eta}后清空。", unknownDetailPace: "需要几秒钟。",
    whatWaits: "积压", nothing: "无", messages: "{n} 条消息", oldest: "最早的已等待 {duration}", waitsNothing: "所有消息均已消费。", noMessages: "没有消息。", byTopic: "按主题查看",

    impairedTitle: "消息正常存储，但部分附属文件无法写入。", impairedFix: "没有数据丢失，恢复写入后会自动补齐。请检查 {path} 所在的磁盘。",
    keysTitle: "命名密钥文件无法使用。", keysFix: "仍使用之前的密钥：此后的撤销和新增尚未生效。请修正该文件，服务器会持续检查。",
    refusingTitle: "拒收消息：当前无法写入存储。", reasonsAre: "服务器给出的原因：",
    fixSpace: "请清理“{path}”所在的磁盘或扩容。恢复后自动继续，无需重启；在此之前生产者会收到错误。",
    fixSync: "同步失败后无法确定磁盘上的内容。请检查磁盘后重启服务器：已应答的消息都会恢复。",
    fixAccess: "服务器无法写入“{path}”。请检查所有者、权限以及磁盘的挂载方式。",
    fixOther: "请查看服务器日志和“{path}”所在的磁盘。问题解决之前，生产者会收到错误。",
    damagedTitle: "部分数据已损坏，其余数据正常可用。", damagedFix: "请检查磁盘。服务器日志列出了所有损坏之处，备份中可能仍有这些数据。",
    memoryOnlyTitle: "持久性：仅内存。服务器停止后，所有消息都会丢失。", memoryOnlyFix: "要将消息保存到磁盘，请把 mq.isPersistent 设为 1 并重启。",
    diskLowTitle: "磁盘空间不足：共 {total}，剩余 {free}。", diskLowFix: "磁盘写满后会拒绝消息。请清理空间，或缩短过期时间（mq.cleanTime）。日志和快照重写时需要空间：约为数据的两倍，数据现有 {data}。",
    queueFullTitle: "队列即将满：{queued} / {capacity}。", queueFullFix: "队列满后生产者需要等待。", queueFullElse: "请减少生产者或降低发送速度；调大 mq.messageChanBuffer 可在等待前容纳更多消息。",
    behindTitle: "{n} 个主题消费过慢：其所有消费者的发送缓冲区都已满。",
    unreadTitle: "{n} 个主题没有消费者，{messages} 条消息待消费。", unreadSince: "其中有消息已等待超过 {duration}。", comma: "、", andMore: "及另外 {n} 个",
    attention: "需要关注的主题", allTopics: "全部主题，其中 {n} 个需要关注", topic: "主题", state: "状态", oldestWaiting: "最早待消费",
    nobodyTitle: "没有消费者在线。", nobodyFix: "{n} 条消息待消费，对应主题的消费者连接后即会推送。",
    toConfig: "配置", toTopics: "主题", toClients: "客户端", toTry: "去调试",

    figures: "指标", accepted: "已接收", delivered: "已推送", consumed: "已消费", mean: "10 秒平均", deliveredHint: "按消费者分别计数",
    queue: "队列", ofCapacity: "容量 {capacity}", behind: "消费过慢的主题", behindNone: "消费正常", behindSome: "发送缓冲区已满",
    consumers: "消费者", producers: "生产者", connected: "在线", topics: "主题", topicsHint: "有消息或客户端", pace: "推送速度", paceHint: "上限，所有主题共用", memory: "内存", memoryHint: "进程占用", notKnown: "未知", disk: "磁盘", free: "剩余 {free}", noDisk: "无，仅内存",

    traffic: "流量", waiting: "待消费", waitingMessages: "待消费的消息：已接收和未消费", notConsumed: "未消费", range: "图表的时间范围", perSecond: "每秒消息数", perSecondMean: "每秒消息数，{each}平均",
    "5m": "5 分钟", "15m": "15 分钟", "1h": "1 小时", "24h": "24 小时", "30d": "30 天", all: "启动以来",
    notYet: "暂不可选：服务器只运行了 {age}，数据从启动时开始记录。", notYetShort: "更长的范围需要时间积累：数据从服务器启动时开始记录，至今 {age}。", noTraffic: "几秒后出现第一批数据", seriesFailed: "无法加载图表数据。",

    week: "最近消息", total: "{n} 条（最近一周）", weekLead: "每天接收的消息，时区 {zone}", dayHas: "{day}：{n} 条消息", today: "今天", chooseDay: "选择某一天，查看每小时的数量。", hoursOf: "{day} 各小时：{n} 条消息", closeDay: "收起", growthFailed: "无法加载每日数量。", notInWeek: "{day} 不在最近七天之内。", perHour: "{day} 每小时接收",
    byStatus: "按状态统计", all_: "全部", code: "协议状态 {code}",
    storage: "存储", log: "日志", mirror: "镜像", snapshot: "快照", data: "数据", freeOf: "{free} / {total}（{percent}）", freeLabel: "剩余", path: "路径", noStorage: "磁盘上没有保存任何内容（mq.isPersistent 为 0）。",

    first: "快速上手", firstLead: "目前没有任何消息。发送一条试试：请将 YOUR_KEY 替换为您的密钥。",
    listen: "1. 接收", listenHow: "用 WebSocket 客户端连接主题 “hello”。第一帧发送密钥，之后消息会以 JSON 推送过来。", send: "2. 发送", sendHow: "写入磁盘后返回 code 0 和消息编码。", sendHowMemory: "返回 code 0 和消息编码。", or: "也可以直接在本页面中完成：", copyListen: "复制 WebSocket 地址", copySend: "复制命令",
  },
});
