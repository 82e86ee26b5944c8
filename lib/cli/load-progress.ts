import { SingleBar } from "cli-progress";
import type { LoadProgress } from "../loading/loaded.js";
import { bytesText, rateText } from "./text.js";

/** A bar on the terminal, on standard error. Silent where that is no terminal: a log is no place for a bar. */
export class LoadBar {
  private readonly bar = new SingleBar({
    format: "Loading {bar} {percentage}%  {done} of {all}  {rate}",
    barsize: 30,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    hideCursor: true,
    clearOnComplete: true,
    // The command has its own answer to signals.
    gracefulExit: false,
  });
  private started = false;
  /** Of all tensors together. */
  totalBytes = 0;

  readonly update = ({ bytes, totalBytes, rate }: LoadProgress): void => {
    this.totalBytes = totalBytes;
    const texts = { done: bytesText(bytes), all: bytesText(totalBytes), rate: rateText(rate) };
    if (this.started) this.bar.update(bytes, texts);
    else this.bar.start(totalBytes, bytes, texts);
    this.started = true;
  };

  stop(): void {
    if (this.started) this.bar.stop();
  }
}
