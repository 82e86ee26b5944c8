/** What a results file looks like. Files of before `measure` was recorded of peers are of the same format. */
import { type TSchema, Type } from "@sinclair/typebox";

const text = Type.String({ minLength: 1 });
const count = Type.Integer({ minimum: 0 });
// JSON has no infinity, but reads 1e999 as one: a number of a schema is a finite one.
const number = Type.Number();
const orNull = (schema: TSchema) => Type.Union([schema, Type.Null()]);
const oneOf = (...names: string[]) => Type.Union(names.map((name) => Type.Literal(name)));
const perSharing = Type.Object({ vmm: orNull(number), ipc: orNull(number) });

const machine = Type.Object({
  cpu: text,
  cpus: Type.Integer({ minimum: 1 }),
  memoryBytes: count,
  arch: text,
  kernel: text,
  gpu: text,
  gpuUuid: text,
  gpuMemoryBytes: count,
  computeCapability: text,
  driverVersion: text,
  kernelDriver: Type.String(),
  node: text,
  package: text,
});

const run = Type.Object({
  at: Type.String({ pattern: "^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z$" }),
  options: Type.Array(Type.String()),
  commit: text,
  machine,
});

const outcome = Type.Object({
  measure: text,
  status: oneOf("done", "failed", "skipped"),
  reason: Type.Optional(text),
  seconds: Type.Number({ minimum: 0 }),
  run: count,
});

const peer = Type.Object({
  peer: text,
  measure: Type.Optional(text),
  status: oneOf("present", "absent", "failed"),
  versions: Type.Optional(Type.Record(Type.String(), Type.String())),
  reason: Type.Optional(Type.String()),
});

const series = Type.Object({
  measure: text,
  by: text,
  what: text,
  labels: Type.Record(Type.String(), Type.Union([Type.String(), number])),
  unit: oneOf("ms", "us", "ns", "GB/s", "per second", "bytes", "ratio"),
  samples: Type.Array(number),
});

const headline = Type.Object({
  loadGBps: orNull(number),
  loadVsFloor: orNull(number),
  loadVsSafetensors: orNull(number),
  attachMs: perSharing,
  attachVsFloor: perSharing,
  attachVsPyTorch: perSharing,
  kernelReadVsOwn: orNull(number),
  workersMemoryVsSeparate: orNull(number),
  ledgerAfterDeathMs: orNull(number),
});

export const resultsSchema = Type.Object({
  format: Type.Literal(1),
  driver: oneOf("libcuda", "host"),
  label: text,
  quick: Type.Boolean(),
  runs: Type.Array(run, { minItems: 1 }),
  outcomes: Type.Array(outcome, { minItems: 1 }),
  peers: Type.Array(peer),
  notes: Type.Array(Type.Object({ measure: text, text })),
  headline,
  series: Type.Array(series),
});
