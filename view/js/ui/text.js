import { texts } from "../i18n.js";

/** The texts of the components, shared by them. */
export const t = texts({
  en: {
    accepted: "Accepted", not_consumed: "Not consumed", consumed: "Consumed",
    first: "First page", next: "Next", retry: "Try again", loading: "Loading…", close: "Close", cancel: "Cancel",
    copy: "Copy", copied: "Copied", copyFailed: "The browser refused to copy",
    asTable: "Show as table", asChart: "Show as chart", noData: "Nothing yet", time: "Time", latest: "latest {value}",
    unreachable: "The server cannot be reached.", unreachableHint: "It may be stopped or restarting. This page updates by itself once the server answers.",
    refused: "The server refused this.", refusedHint: "Check the filters and try again.",
    notAllowed: "Your key does not allow this.", notAllowedHint: "The key lacks a right, or is for some topics only: then choose one of them.",
    notFound: "This does not exist.", notFoundHint: "It may have been deleted, or may have expired.",
    unavailable: "The server cannot do this now.", unavailableHint: "Try again in a moment; the overview says what is wrong.",
    broken: "This part of the page failed.", brokenHint: "Reload the page. If it happens again, the text below helps to find the reason.",
    conflict: "This is not possible in its present state.", conflictHint: "It has changed meanwhile: reload the page.",
    typeTopic: "Type the topic’s name to confirm:", willTouch: "Affects",
    notUndone: "This cannot be undone.", working: "Working…",
    sortBy: "Sort by {column}", dismiss: "Dismiss", ascending: "ascending", descending: "descending",
  },
  zh: {
    accepted: "已接收", not_consumed: "未消费", consumed: "已消费",
    first: "回到首页", next: "下一页", retry: "重试", loading: "加载中…", close: "关闭", cancel: "取消",
    copy: "复制", copied: "已复制", copyFailed: "浏览器拒绝了复制",
    asTable: "以表格显示", asChart: "以图表显示", noData: "暂无数据", time: "时间", latest: "最新值 {value}",
    unreachable: "无法连接服务器。", unreachableHint: "服务器可能已停止或正在重启。恢复后页面会自动继续。",
    refused: "服务器拒绝了此请求。", refusedHint: "请检查筛选条件后重试。",
    notAllowed: "您的密钥无权执行此操作。", notAllowedHint: "需要其他权限；或者该密钥仅限部分主题，请选择其中之一。",
    notFound: "内容不存在。", notFoundHint: "它可能已被删除或已过期。",
    unavailable: "服务器暂时无法处理。", unavailableHint: "请稍后重试；原因可在概览中查看。",
    broken: "页面的这一部分出错了。", brokenHint: "请刷新页面。如果再次出现，下面的文字有助于查找原因。",
    conflict: "当前状态下无法执行此操作。", conflictHint: "内容可能已发生变化，请刷新后再看。",
    typeTopic: "请输入主题名称以确认：", willTouch: "影响范围",
    notUndone: "此操作无法撤销。", working: "处理中…",
    sortBy: "按{column}排序", dismiss: "关闭", ascending: "升序", descending: "降序",
  },
});
