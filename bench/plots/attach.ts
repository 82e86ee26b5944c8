import { select } from "../suite/headline.js";
import type { Results, Series } from "../suite/results.js";
import { chart, colors, type Row, rows, type Spec } from "./chart.js";

/** First attach in a fresh process against bytes, both axes logarithmic. */
export function attachPlot(results: Results): Spec | undefined {
  const label = ({ by, labels }: Series): Row => ({
    bytes: Number(labels.bytes),
    who: by === "floor" ? "C++ floor" : by,
    sharing: labels.sharing ?? "ipc",
  });
  const lines = rows(
    ["cuda-ipc", "floor"].flatMap((by) => select(results, "attach-bytes", by, "attach", { kind: "first" })),
    label,
  );
  if (lines.length === 0) return undefined;
  const pytorch = select(results, "attach-peers", "PyTorch", "ForkingPickler.loads", { kind: "first" });
  const points = rows(pytorch, (one) => ({ ...label(one), who: "PyTorch, 146 tensors" }));
  const who = ["cuda-ipc", "C++ floor", ...points.map((point) => point.who!)];
  const color = {
    field: "who",
    type: "nominal",
    title: null,
    scale: { domain: who, range: [colors["cuda-ipc"], colors.floor, colors.other] },
  };
  const x = {
    field: "bytes",
    type: "quantitative",
    scale: { type: "log", base: 2 },
    title: "bytes",
    axis: {
      values: [...new Set(lines.map(({ bytes }) => bytes!))],
      labelExpr: `datum.value < ${2 ** 30} ? datum.value / ${2 ** 20} + " MiB" : datum.value / ${2 ** 30} + " GiB"`,
    },
  };
  const y = {
    field: "median",
    type: "quantitative",
    scale: { type: "log" },
    title: "ms",
    axis: { format: "~g" },
  };
  const strokeDash = {
    field: "sharing",
    type: "nominal",
    title: "sharing",
    legend: { symbolType: "stroke" },
  };
  return chart(results, "Attaching: first in a fresh process", lines, {
    layer: [
      { mark: { type: "line", point: true }, encoding: { x, y, color, strokeDash } },
      {
        mark: { type: "rule", opacity: 0.5 },
        encoding: { x, y: { ...y, field: "p10" }, y2: { field: "p90" }, color },
      },
      {
        data: { values: points },
        mark: { type: "point", size: 70, filled: true },
        encoding: { x, y, color },
      },
    ],
  });
}
