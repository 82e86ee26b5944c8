import { compilePeer } from "../common/compile.js";
import { LineProgram } from "../common/line-program.js";

export interface FloorLoad {
  bytes: number;
  /** Milliseconds, and of what. */
  total: number;
  parts: { allocate: number; pin: number; copy: number };
}

export interface FloorLoadPlan {
  threads: number;
  chunkBytes?: number;
  ringChunks?: number;
}

/** The plain C++ program that loads a file: see bench/peers/loadfloor.cc. CUDA is up in it. */
export class LoadFloor {
  private constructor(private readonly program: LineProgram) {}

  static async start(driver: string, sharing: string, device: number): Promise<LoadFloor> {
    const floor = new LoadFloor(
      new LineProgram(await compilePeer("loadfloor"), [driver, sharing, String(device)]),
    );
    await floor.program.read();
    return floor;
  }

  /** So many bytes at the end of the file: the header is not loaded. */
  load(file: { path: string; bytes: number; offset: number }, plan: FloorLoadPlan): Promise<FloorLoad> {
    const { threads, chunkBytes = 2 << 20, ringChunks = 3 } = plan;
    this.program.send(
      `load ${threads} ${chunkBytes} ${ringChunks} ${file.offset} ${file.bytes} ${file.path}`,
    );
    return this.program.read();
  }

  /** The next load pins its staging memory anew. */
  forget(): void {
    this.program.send("forget");
  }

  end(): Promise<void> {
    return this.program.end();
  }

  kill(): void {
    this.program.kill();
  }
}
