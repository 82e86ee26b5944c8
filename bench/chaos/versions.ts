import { equal, referenceOf } from "./content.js";
import type { Findings } from "./findings.js";
import type { Answer } from "./messages.js";

interface Known {
  readonly number: number;
  readonly content: number;
}

/**
 * Which version holds what, as far as anybody outside the owner can know. A version is known from the load that
 * published it. While a load is under way, and after one whose owner died before it had answered, the version may be
 * met before or without that: then its content must be exactly one that was being loaded, and stays it.
 */
export class Versions {
  private readonly known = new Map<string, Known>();
  /** Contents of loads that may have published. */
  private readonly possible = new Set<number>();
  private nextContent = 1;

  constructor(private readonly findings: Findings) {}

  /** A content that no version has had. */
  newContent(): number {
    const content = this.nextContent++;
    this.possible.add(content);
    return content;
  }

  /** The load has answered. */
  published(content: number, id: string, number: number): void {
    this.possible.delete(content);
    const known = this.known.get(id);
    if (known === undefined) this.learn(id, { number, content });
    else if (known.content !== content || known.number !== number) {
      this.findings.count("wrongAnswers", `Version ${id} was answered from before as other weights.`);
    }
  }

  /** The load has failed for a reason after which nothing can have been published. */
  refused(content: number): void {
    this.possible.delete(content);
  }

  /** Whether the answer is that of the version that it names. */
  check(kind: number, { version, number, output }: Answer): void {
    const known = this.known.get(version) ?? this.recognize(kind, version, number, output);
    if (known === undefined) {
      this.findings.count("wrongAnswers", `An answer came from version ${version}, which nobody has loaded.`);
    } else if (known.number !== number) {
      this.findings.count("wrongAnswers", `Version ${known.number} called itself version ${number}.`);
    } else if (!equal(output, referenceOf(known.content, kind))) {
      this.findings.count("wrongAnswers", `An answer of version ${number} is not what its weights give.`);
    }
  }

  private recognize(kind: number, id: string, number: number, output: Float32Array): Known | undefined {
    for (const content of this.possible) {
      if (!equal(output, referenceOf(content, kind))) continue;
      this.possible.delete(content);
      return this.learn(id, { number, content });
    }
    return undefined;
  }

  private learn(id: string, known: Known): Known {
    this.known.set(id, known);
    this.findings.figures.versions = this.known.size;
    return known;
  }
}
