/** results.md: the same numbers for people. */
import { type Summary, summarize } from "../common/statistics.js";
import type { Headline } from "./headline.js";
import { onceEach } from "./peers.js";
import type { Labels, Results, Series, Unit } from "./results.js";

/** Every number of the headline, in words. Definitions: bench/README.md. */
export function headlineRows(headline: Headline): [what: string, value: string, aim: string][] {
  const { attachMs, attachVsFloor, attachVsPyTorch } = headline;
  const sharings = ["vmm", "ipc"] as const;
  return [
    ["load, GB/s", number(headline.loadGBps, 1), ""],
    ["load / C++ floor", number(headline.loadVsFloor), "at least 0.95"],
    ["load / safetensors.torch.load_file", number(headline.loadVsSafetensors), "at least 8"],
    ...sharings.flatMap((sharing): [string, string, string][] => [
      [`attach (${sharing}), ms`, number(attachMs[sharing]), ""],
      [`attach (${sharing}) / C++ floor`, number(attachVsFloor[sharing]), "1.25 and 0.3 ms"],
      [`PyTorch / attach (${sharing})`, number(attachVsPyTorch[sharing], 1), "at least 10"],
    ]),
    ["kernel reads, mapped / own", number(headline.kernelReadVsOwn, 3), "at least 0.99"],
    ["device memory, shared / separate", number(headline.workersMemoryVsSeparate), ""],
    ["ledger after a worker's death, ms", number(headline.ledgerAfterDeathMs), "at most 5"],
  ];
}

export function markdown(results: Results): string {
  const { machine, at, commit } = results.runs.at(-1)!;
  const lines = [
    `# ${results.label}`,
    "",
    `${at.slice(0, 10)}, commit ${commit}${results.quick ? ", a quick run" : ""}. ${machine.cpu}, ${machine.cpus} CPUs; ` +
      `${machine.gpu}${machine.kernelDriver && `, driver ${machine.kernelDriver}`}, CUDA ${machine.driverVersion}; Node ${machine.node}.`,
    "",
    ...(results.driver === "host"
      ? ["**No GPU was used: device memory is host memory here. These numbers say nothing about a GPU.**", ""]
      : []),
    ...table(["headline", "value", "aim"], headlineRows(results.headline)),
    "",
    `Definitions: bench/README.md. ${results.driver === "host" ? "The aims are for a GPU." : ""}`.trim(),
    "",
    ...outcomeLines(results),
  ];
  for (const { measure } of results.outcomes) {
    const series = results.series.filter((one) => one.measure === measure);
    if (series.length === 0) continue;
    lines.push(`## ${measure}`, "", ...table(columns, series.map(row)), "");
    const notes = results.notes.filter((note) => note.measure === measure).map(({ text }) => `- ${text}`);
    if (notes.length > 0) lines.push(...notes, "");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function outcomeLines({ outcomes, peers }: Results): string[] {
  const lines: string[] = [];
  for (const { measure, status, reason } of outcomes) {
    if (status !== "done") lines.push(`- ${measure} ${status}: ${firstLine(reason)}`);
  }
  for (const { peer, status, reason, versions } of onceEach(peers)) {
    const what =
      status === "present"
        ? Object.entries(versions ?? {})
            .map((pair) => pair.join(" "))
            .join(", ")
        : firstLine(reason);
    lines.push(`- ${peer} ${status}: ${what}`);
  }
  return lines.length > 0 ? [...lines, ""] : [];
}

const columns = ["by", "what", "of", "unit", "median", "p10", "p90", "p99", "min", "max", "samples"];

function row({ by, what, labels, unit, samples }: Series): string[] {
  const summary = summarize(samples);
  const values = (["median", "p10", "p90", "p99", "min", "max"] as const).map((key) =>
    shown(summary, key, unit),
  );
  return [by, what, labelText(labels), unit === "bytes" ? "MiB" : unit, ...values, String(summary.count)];
}

const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

function shown(summary: Summary, key: keyof Summary, unit: Unit): string {
  const value = summary[key];
  if (unit === "bytes") return (value / 2 ** 20).toFixed(1);
  return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(4);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

const firstLine = (text = ""): string => text.split("\n")[0]!;

function number(value: number | null, digits = 2): string {
  return value === null ? "-" : value.toFixed(digits);
}
