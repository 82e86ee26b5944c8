/** What is running, for people. On a terminal a bar; elsewhere one line for each measure. */
import { SingleBar } from "cli-progress";

export class Progress {
  private readonly bar: SingleBar | undefined;
  private done = 0;
  private text = "";

  constructor(private readonly total: number) {
    if (!process.stderr.isTTY) return;
    this.bar = new SingleBar({
      format: "{bar} {value}/{total} {measure} {step}",
      barsize: 20,
      hideCursor: true,
      clearOnComplete: true,
      stream: process.stderr,
    });
    this.bar.start(total, 0, { measure: "", step: "" });
    // However the program ends: the terminal gets its cursor and its line wrap back.
    process.once("exit", () => this.stop());
  }

  begin(measure: string): void {
    this.text = measure;
    this.step("");
  }

  step(text: string): void {
    this.bar?.update(this.done, { measure: this.text, step: text });
  }

  end(summary: string): void {
    this.done++;
    // Above the bar: cleared, written, drawn again.
    if (this.bar !== undefined) process.stderr.write("\r\x1b[K");
    process.stderr.write(`[${this.done}/${this.total}] ${this.text}: ${summary}\n`);
    this.step("");
  }

  stop(): void {
    if (this.bar?.isActive) this.bar.stop();
  }
}
