import { hasUtf8Form } from "./text.js";

/**
 * A JSON reader that is as strict as the format's reference reader, which JSON.parse is not: duplicate keys are
 * refused, objects are Maps (so "__proto__" is a name like any other), a number keeps its spelling (so 1.0 and
 * 1e3 are told from integers), unpaired surrogates are refused, nesting is bounded.
 */
export type Json = null | boolean | string | number | OddNumber | Json[] | JsonObject;
export type JsonObject = Map<string, Json>;

/** A number that is not spelled as a non-negative integer, or not a safe one. */
export class OddNumber {
  constructor(readonly text: string) {}
}

export class JsonError extends Error {
  constructor(
    message: string,
    /** The keys that lead to the fault, the outermost first; of a key that occurs twice, up to that key. */
    readonly keys: readonly string[],
    readonly isDuplicateKey = false,
  ) {
    super(message);
  }
}

const maxDepth = 128;

export function parseJson(text: string): Json {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.end();
  return value;
}

class Parser {
  private at = 0;
  /** The keys of the values that are being read, the outermost first. */
  private readonly keys: string[] = [];
  private readonly number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

  constructor(private readonly text: string) {}

  value(depth: number): Json {
    if (depth > maxDepth) throw this.fault(`it is nested more than ${maxDepth} levels deep`);
    this.space();
    switch (this.text[this.at]) {
      case "{":
        return this.object(depth);
      case "[":
        return this.array(depth);
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.numeral();
    }
  }

  end(): void {
    this.space();
    if (this.at < this.text.length) throw this.unexpected("the end");
  }

  private object(depth: number): JsonObject {
    const object: JsonObject = new Map();
    this.at++;
    this.space();
    if (this.take("}")) return object;
    do {
      this.space();
      if (this.text[this.at] !== '"') throw this.unexpected("a key");
      const key = this.string();
      this.keys.push(key);
      if (object.has(key)) {
        throw new JsonError(`the key ${JSON.stringify(key)} occurs twice`, this.keys, true);
      }
      this.space();
      this.expect(":");
      object.set(key, this.value(depth + 1));
      this.keys.pop();
      this.space();
    } while (this.take(","));
    this.expect("}");
    return object;
  }

  private array(depth: number): Json[] {
    const array: Json[] = [];
    this.at++;
    this.space();
    if (this.take("]")) return array;
    do {
      array.push(this.value(depth + 1));
      this.space();
    } while (this.take(","));
    this.expect("]");
    return array;
  }

  private string(): string {
    const start = this.at++;
    let escaped = false;
    for (;;) {
      const code = this.text.charCodeAt(this.at++);
      if (code === 0x22) break;
      if (code === 0x5c) {
        escaped = true;
        this.at++;
      } else if (!(code >= 0x20)) {
        // NaN at the end of the text, or a control character.
        this.at--;
        throw this.unexpected("a character of a string");
      }
    }
    if (!escaped) return this.text.slice(start + 1, this.at - 1);
    return this.unescape(start);
  }

  private unescape(start: number): string {
    let value: string;
    try {
      value = JSON.parse(this.text.slice(start, this.at)) as string;
    } catch {
      throw this.fault(`the string at character ${start} has an escape that JSON does not know`);
    }
    if (!hasUtf8Form(value)) {
      throw this.fault(`the string at character ${start} has an unpaired surrogate`);
    }
    return value;
  }

  private numeral(): number | OddNumber {
    this.number.lastIndex = this.at;
    const text = this.number.exec(this.text)?.[0];
    if (text === undefined) throw this.unexpected("a value");
    this.at += text.length;
    const value = Number(text);
    return /^[0-9]+$/.test(text) && Number.isSafeInteger(value) ? value : new OddNumber(text);
  }

  private word<T extends boolean | null>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.unexpected("a value");
    this.at += word.length;
    return value;
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.at++;
    }
  }

  private take(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private expect(character: string): void {
    if (!this.take(character)) throw this.unexpected(JSON.stringify(character));
  }

  private unexpected(wanted: string): JsonError {
    const found = this.at < this.text.length ? JSON.stringify(this.text[this.at]) : "the end";
    return this.fault(`expected ${wanted} at character ${this.at}, found ${found}`);
  }

  private fault(message: string): JsonError {
    return new JsonError(message, this.keys);
  }
}
