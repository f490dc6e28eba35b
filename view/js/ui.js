export { Icon } from "./ui/icons.js";
export { Button, IconButton, Card, Stat, Tag, StatusTag, Ago, CopyButton, copyText } from "./ui/basic.js";
export { Table, Pager } from "./ui/table.js";
export { Field, Input, TextArea, Select, Checkbox, Segments } from "./ui/form.js";
export { Empty, Loading, ErrorState, explain } from "./ui/states.js";
export { Dialog, Confirm, confirmTopic } from "./ui/dialog.js";
export { Toasts, toast } from "./ui/toasts.js";
export { Tabs } from "./ui/tabs.js";
export { t as uiText } from "./ui/text.js";
