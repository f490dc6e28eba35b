export type Column = ArrayLike<number | null>;
export type Data = Column[];
export interface Scale { min?: number; max?: number }
/** The part of uPlot that chart.js uses; options are uPlot's own (see its documentation). */
export default class uPlot {
  constructor(options: Record<string, unknown>, data: Data, target: HTMLElement);
  static paths: { bars(options: object): unknown; spline(): unknown; linear(): unknown; stepped(options: object): unknown };
  readonly root: HTMLElement;
  readonly data: Data;
  readonly cursor: { idx?: number | null; left?: number };
  readonly scales: Record<string, Scale>;
  setData(data: Data, resetScales?: boolean): void;
  setSize(size: { width: number; height: number }): void;
  redraw(rebuildPaths?: boolean): void;
  destroy(): void;
}
