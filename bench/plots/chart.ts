/** What all plots have in common. A specification is plain data: https://vega.github.io/vega-lite/ */
import { summarize } from "../common/statistics.js";
import type { Results, Series } from "../suite/results.js";

export type Spec = Record<string, unknown>;
export type Row = Record<string, string | number>;

/** One row for each series: its median and its spread. */
export function rows(series: readonly Series[], more: (one: Series) => Row, scale = 1): Row[] {
  return series.map((one) => {
    const { median, p10, p90 } = summarize(one.samples);
    return { median: median * scale, p10: p10 * scale, p90: p90 * scale, ...more(one) };
  });
}

export function chart(results: Results, title: string, values: readonly Row[], body: Spec): Spec {
  const { at, machine } = results.runs.at(-1)!;
  const where = results.driver === "host" ? "host driver: no GPU, host memory stands in" : machine.gpu;
  return {
    title: {
      text: title,
      subtitle: `${where}, ${at.slice(0, 10)}${results.quick ? ", quick run" : ""}`,
      anchor: "start",
    },
    background: "white",
    width: 460,
    height: 260,
    data: { values },
    config: {
      font: "sans-serif",
      view: { stroke: null },
      // 0: labels are never cut off.
      axis: { gridColor: "#e5e5e5", labelFontSize: 11, labelLimit: 0 },
      legend: { labelLimit: 0 },
    },
    ...body,
  };
}

export const colors = { "cuda-ipc": "#1b6ca8", floor: "#555555", other: "#c8662b" };
