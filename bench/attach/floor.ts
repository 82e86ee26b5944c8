import { compilePeer } from "../common/compile.js";
import { LineProgram } from "../common/line-program.js";

/** "rested": when the process has done nothing for 300 ms. */
export type SampleKind = "first" | "repeated" | "rested";
export const restMs = 300;

export interface FloorSample {
  kind: SampleKind;
  milliseconds: number;
  /** Of `vmm`: import, reserve, map, access. */
  parts?: Record<string, number>;
  detach: number;
}

export interface FloorStart {
  milliseconds: number;
  /** exec, cuInit, context, import, module, kernel. */
  parts: Record<string, number>;
}

/** The same driver calls, made by a C++ program: see bench/peers/floor.cc. */
export class Floor {
  private constructor(private readonly program: LineProgram) {}

  static async start(options: {
    driver: string;
    sharing: string;
    bytes: number;
    device: number;
  }): Promise<Floor> {
    const { driver, sharing, bytes, device } = options;
    const file = await compilePeer("floor");
    const floor = new Floor(new LineProgram(file, ["serve", driver, sharing, String(bytes), String(device)]));
    await floor.program.read();
    return floor;
  }

  /**
   * A fresh importer's first attach, and so many more of either kind. "ask": asking the exporter over a socket is in each
   * time, as it is for a worker and its owner.
   */
  async attach(
    repeats: number,
    rested: number,
    command: "attach" | "ask" = "attach",
  ): Promise<FloorSample[]> {
    this.program.send(`${command} ${repeats} ${rested} ${restMs}`);
    const samples: FloorSample[] = [];
    for (;;) {
      const line = await this.program.read<FloorSample | { event: string }>();
      if ("event" in line) return samples;
      samples.push(line);
    }
  }

  /** A fresh program from before its spawn to its first kernel on the memory. */
  async start(): Promise<FloorStart> {
    this.program.send("start");
    const sample = await this.program.read<FloorStart>();
    await this.program.read();
    return sample;
  }

  end(): Promise<void> {
    return this.program.end();
  }

  kill(): void {
    this.program.kill();
  }
}
