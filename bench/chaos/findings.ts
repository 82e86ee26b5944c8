/** The object that --json prints. */
export interface Figures {
  seed: number;
  /** Requests that were sent. */
  requests: number;
  /** Not answered, although their worker was not killed. */
  failedRequests: number;
  wrongAnswers: number;
  kills: { worker: number; owner: number; loader: number; standby: number };
  handovers: number;
  /** Versions that were published. */
  versions: number;
  ledgerErrors: number;
  leakedLeases: number;
  leakedFds: number;
  leakedDeviceBytes: number;
  failedInKilledWorkers: number;
  longestOutageMs: number;
}

/** What a run has counted, and every promise that was broken, as a sentence. */
export class Findings {
  readonly figures: Figures;
  /** What else went wrong, such as a process that ended or something that never came. */
  private readonly faults: string[] = [];
  private readonly examples = new Map<string, string>();

  constructor(seed: number) {
    this.figures = {
      seed,
      requests: 0,
      failedRequests: 0,
      wrongAnswers: 0,
      kills: { worker: 0, owner: 0, loader: 0, standby: 0 },
      handovers: 0,
      versions: 0,
      ledgerErrors: 0,
      leakedLeases: 0,
      leakedFds: 0,
      leakedDeviceBytes: 0,
      failedInKilledWorkers: 0,
      longestOutageMs: 0,
    };
  }

  /** Counts what must not happen; the first example of each is kept. */
  count(
    figure:
      | "failedRequests"
      | "wrongAnswers"
      | "ledgerErrors"
      | "leakedLeases"
      | "leakedFds"
      | "leakedDeviceBytes",
    example: string,
    by = 1,
  ): void {
    this.figures[figure] += by;
    if (!this.examples.has(figure)) this.examples.set(figure, example);
  }

  fault(sentence: string): void {
    this.faults.push(sentence);
  }

  broken(concurrency: number, maxOutage: number): string[] {
    const { figures } = this;
    const broken = [...this.faults];
    const none = (figure: string, count: number) => {
      const example = this.examples.get(figure);
      if (count > 0) broken.push(`${figure}: ${count}${example === undefined ? "" : `. ${example}`}`);
    };
    none("failedRequests", figures.failedRequests);
    none("wrongAnswers", figures.wrongAnswers);
    none("ledgerErrors", figures.ledgerErrors);
    none("leakedLeases", figures.leakedLeases);
    none("leakedFds", figures.leakedFds);
    none("leakedDeviceBytes", figures.leakedDeviceBytes);
    const { failedInKilledWorkers, kills, longestOutageMs } = figures;
    if (failedInKilledWorkers > kills.worker * concurrency) {
      broken.push(
        `failedInKilledWorkers: ${failedInKilledWorkers}, more than ${kills.worker} killed workers could have had under way`,
      );
    }
    if (longestOutageMs > maxOutage)
      broken.push(`longestOutageMs: ${longestOutageMs}, more than ${maxOutage}`);
    if (figures.requests === 0) broken.push("requests: none was sent");
    return broken;
  }
}
