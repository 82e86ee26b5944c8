import { compilePeer } from "../common/compile.js";
import { LineProgram } from "../common/line-program.js";

/** What of a file is in the page cache, and what the disk gives: see bench/peers/filecache.cc. */
export class FileCache {
  private constructor(private readonly program: LineProgram) {}

  static async start(): Promise<FileCache> {
    return new FileCache(new LineProgram(await compilePeer("filecache")));
  }

  /** Forgets the file's pages; says how much of it is still there, from 0 to 1. */
  async drop(file: string): Promise<number> {
    return (await this.ask<{ resident: number }>(`drop ${file}`)).resident;
  }

  /** Reads the file; says how much of it is in the page cache afterwards. */
  async warm(file: string): Promise<number> {
    return (await this.ask<{ resident: number }>(`warm ${file}`)).resident;
  }

  /** Bytes per second past the page cache; undefined where the file system has no direct reads. */
  async direct(
    file: string,
    { threads, chunkBytes }: { threads: number; chunkBytes: number },
  ): Promise<number | undefined> {
    const { bytes, seconds } = await this.ask<{ bytes?: number; seconds?: number }>(
      `direct ${threads} ${chunkBytes} ${file}`,
    );
    return bytes === undefined ? undefined : bytes / seconds!;
  }

  end(): Promise<void> {
    return this.program.end();
  }

  kill(): void {
    this.program.kill();
  }

  private ask<T>(line: string): Promise<T> {
    this.program.send(line);
    return this.program.read();
  }
}
