import { memoryInUse } from "../suite/headline.js";
import type { Results } from "../suite/results.js";
import { chart, colors, rows, type Spec } from "./chart.js";

/** Device memory against the number of workers: shared, and a copy each. */
export function memoryPlot(results: Results): Spec | undefined {
  const names: Record<string, string> = { shared: "one owner, shared", separate: "a copy each" };
  const values = rows(
    memoryInUse(results),
    ({ labels }) => ({ workers: labels.workers!, mode: names[labels.mode!] ?? String(labels.mode) }),
    1 / 2 ** 30,
  );
  if (values.length === 0) return undefined;
  return chart(results, "Device memory, contexts included", values, {
    mark: { type: "line", point: true },
    encoding: {
      x: { field: "workers", type: "quantitative", title: "workers", axis: { tickMinStep: 1 } },
      y: { field: "median", type: "quantitative", title: "GiB in use" },
      color: {
        field: "mode",
        type: "nominal",
        title: null,
        scale: { domain: Object.values(names), range: [colors["cuda-ipc"], colors.other] },
      },
    },
  });
}
