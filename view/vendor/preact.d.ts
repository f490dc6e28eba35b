export type Key = string | number;
export interface VNode<P = any> { type: unknown; props: P; key: Key | null }
export type ComponentChild = VNode | string | number | bigint | boolean | null | undefined | object;
export type ComponentChildren = ComponentChild | ComponentChild[];
export function h(type: any, props: any, ...children: ComponentChildren[]): VNode;
export function render(what: ComponentChild, parent: Element): void;
export const Fragment: (props: { children?: ComponentChildren }) => ComponentChildren;
export class Component<P = {}, S = {}> {
  constructor(props?: P);
  props: P & { children?: ComponentChildren };
  state: S;
  setState(state: Partial<S>): void;
  forceUpdate(): void;
  render(props?: P, state?: S): ComponentChildren;
  componentDidMount?(): void;
  componentWillUnmount?(): void;
  componentDidUpdate?(previous: P): void;
  componentDidCatch?(error: unknown): void;
}
