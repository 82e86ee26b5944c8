import { select } from "../suite/headline.js";
import type { Results, Series } from "../suite/results.js";
import { chart, colors, type Row, rows, type Spec } from "./chart.js";

/** Bars in GB/s, with the C++ floor as a line across them. */
export function loadsPlot(results: Results): Spec | undefined {
  const name =
    (text: string) =>
    (one: Series): Row => ({ who: text, ours: Number(one.by === "cuda-ipc") });
  const found: [Series[], string][] = [
    [select(results, "load", "cuda-ipc", "load"), "cuda-ipc, page cache"],
    [select(results, "load", "safetensors", "load"), "safetensors, page cache"],
    [select(results, "load-cold", "cuda-ipc", "load"), "cuda-ipc, cold"],
    [select(results, "load-cold", "disk", "direct reads"), "the disk alone"],
  ];
  const bars = found.flatMap(([series, text]) => rows(series, name(text)));
  if (bars.length === 0) return undefined;
  const floor = rows(select(results, "load", "floor", "load"), name("C++ floor"));
  const y = { field: "median", type: "quantitative", title: "GB/s" };
  // A line for each part of a name.
  const axis = { labelAngle: 0, labelExpr: "split(datum.label, ', ')" };
  const x = { field: "who", type: "nominal", title: null, sort: null, axis };
  const color = {
    field: "ours",
    type: "nominal",
    legend: null,
    scale: { domain: [1, 0], range: [colors["cuda-ipc"], colors.other] },
  };
  return chart(results, "Loading a model to the device", bars, {
    layer: [
      { mark: { type: "bar", size: 48 }, encoding: { x, y, color } },
      {
        mark: { type: "rule" },
        encoding: { x, y: { field: "p10", type: "quantitative" }, y2: { field: "p90" } },
      },
      {
        mark: { type: "text", dx: 26, dy: -7 },
        encoding: { x, y, text: { field: "median", type: "quantitative", format: ".3~g" } },
      },
      {
        data: { values: floor },
        mark: { type: "rule", strokeDash: [6, 4], color: colors.floor, strokeWidth: 1.5 },
        encoding: { y },
      },
      {
        data: { values: floor },
        mark: { type: "text", align: "right", x: "width", dy: -7, color: colors.floor },
        encoding: { y, text: { field: "who" } },
      },
    ],
  });
}
