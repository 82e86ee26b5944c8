/** Says what happens, as it happens. */
export class Log {
  private readonly began = performance.now();

  constructor(private readonly stream: NodeJS.WriteStream) {}

  event(kind: string, text: string): void {
    this.line(`${kind.padEnd(18)} ${text}`);
  }

  detail(text: string): void {
    this.line(`${" ".repeat(18)} ${text}`);
  }

  line(text: string): void {
    const seconds = (performance.now() - this.began) / 1000;
    this.stream.write(`${seconds.toFixed(2).padStart(8)} s  ${text.trimEnd()}\n`);
  }
}
