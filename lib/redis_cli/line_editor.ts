/**
 * One line from a terminal: moving and deleting, history, completion with TAB, a grey hint behind the text, long lines over several rows.
 * Keys are those that redis-cli's users know. Cold.
 *
 * The terminal is raw only while a line is being typed: a command that runs can be ended with Ctrl-C. Bytes that come in between wait in
 * `typed`. The text is held in characters, so that UTF-8 moves as one; handed out it is latin1, one char a byte.
 */
import { print } from "./terminal.ts";

export interface EditorTexts {
  completions(line: string): string[];
  hint(line: string): string;
}

const NO_TEXTS: EditorTexts = { completions: () => [], hint: () => "" };
const CTRL_C = Symbol("Ctrl-C");
type Outcome = string | null | typeof CTRL_C | undefined;

export class LineEditor {
  readonly history: string[];
  private readonly texts: EditorTexts;
  private readonly maxHistory: number;
  private typed: string[];
  private wake: (() => void) | null;
  private ended: boolean;
  private prompt: string;
  private text: string[];
  private at: number;
  /** Rows that the last drawing put above the cursor's. */
  private rowsAbove: number;
  private browsing: number;
  private unfinished: string;
  private masked: boolean;

  constructor(texts: EditorTexts = NO_TEXTS, maxHistory = 100) {
    this.texts = texts;
    this.maxHistory = maxHistory;
    this.history = [];
    this.typed = [];
    this.wake = null;
    this.ended = false;
    this.prompt = "";
    this.text = [];
    this.at = 0;
    this.rowsAbove = 0;
    this.browsing = 0;
    this.unfinished = "";
    this.masked = false;
    process.stdin.on("data", (chunk: Buffer) => {
      this.typed.push(...keysOf(chunk.toString("utf8")));
      this.wake?.();
    });
    process.stdin.on("end", () => {
      this.ended = true;
      this.wake?.();
    });
    process.stdin.pause();
  }

  /** Puts a line (latin1) at the end of the history, once when it is repeated. */
  remember(line: string): void {
    if (this.history.at(-1) === line) return;
    this.history.push(line);
    if (this.history.length > this.maxHistory) this.history.shift();
  }

  /** The line typed, as latin1 bytes; null at Ctrl-C, or Ctrl-D on an empty line. `masked` shows stars. */
  async read(prompt: string, masked = false): Promise<string | null> {
    this.prompt = prompt;
    this.text = [];
    this.at = 0;
    this.rowsAbove = 0;
    this.browsing = this.history.length;
    this.unfinished = "";
    this.masked = masked;
    process.stdin.setRawMode(true);
    process.stdin.resume();
    try {
      this.draw();
      for (;;) {
        const key = await this.key();
        const outcome = key === null ? null : await this.press(key);
        if (outcome === undefined) continue;
        if (typeof outcome !== "string") return null;
        this.at = this.text.length;
        this.draw(false);
        return Buffer.from(outcome, "utf8").toString("latin1");
      }
    } finally {
      process.stdin.setRawMode(false);
      process.stdin.pause();
      print("\r\n");
    }
  }

  /** Resolves when a key is pressed: true for Ctrl-C, which is taken; any other begins the next line. Until endPressed. */
  async pressed(): Promise<boolean> {
    process.stdin.setRawMode(true);
    process.stdin.resume();
    const key = await this.key();
    if (key !== null && key !== "\x03") this.typed.unshift(key);
    return key === "\x03";
  }
  /** The terminal is as it was before. */
  endPressed(): void {
    this.wake = null;
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }

  private async key(): Promise<string | null> {
    for (;;) {
      const key = this.typed.shift();
      if (key !== undefined) return key;
      if (this.ended) return null;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.wake = null;
    }
  }

  /** Undefined: go on; text: the line is done; null: the end; CTRL_C. */
  private async press(key: string): Promise<Outcome> {
    if (key === "\t") return this.complete();
    if (key === "\r" || key === "\n") return this.text.join("");
    if (key === "\x03") return CTRL_C;
    if (key === "\x04" && this.text.length === 0) return null;
    const action = ACTIONS[key];
    if (action !== undefined) action(this);
    else if (key >= " " && key !== "\x7f" && !key.startsWith("\x1b")) this.insert(key);
    this.draw();
    return undefined;
  }

  insert(char: string): void {
    this.text.splice(this.at, 0, char);
    this.at++;
  }
  /** Takes characters from `from` to `to` out; the cursor stays with its neighbours. */
  cut(from: number, to: number): void {
    const start = Math.max(0, from);
    this.text.splice(start, to - start);
    this.at = start;
  }
  move(by: number): void {
    this.at = Math.min(Math.max(this.at + by, 0), this.text.length);
  }
  get cursor(): number {
    return this.at;
  }
  get length(): number {
    return this.text.length;
  }
  wordStart(): number {
    let i = this.at;
    while (i > 0 && this.text[i - 1] === " ") i--;
    while (i > 0 && this.text[i - 1] !== " ") i--;
    return i;
  }
  swap(): void {
    const i = this.at;
    if (i === 0 || i >= this.text.length) return;
    [this.text[i - 1], this.text[i]] = [this.text[i], this.text[i - 1]];
    if (i !== this.text.length - 1) this.at++;
  }
  browse(by: number): void {
    const to = this.browsing + by;
    if (to < 0 || to > this.history.length) return;
    if (this.browsing === this.history.length) this.unfinished = this.text.join("");
    this.browsing = to;
    this.replace(to === this.history.length ? this.unfinished : Buffer.from(this.history[to], "latin1").toString("utf8"));
  }
  replace(line: string): void {
    this.text = [...line];
    this.at = this.text.length;
  }
  clearScreen(): void {
    print("\x1b[H\x1b[2J");
    this.rowsAbove = 0;
  }

  /** TAB again shows the next one and, after the last, what was typed; Escape goes back to that; any other key takes what is shown. */
  private async complete(): Promise<Outcome> {
    const typed = this.text.join("");
    const list = this.texts.completions(typed);
    if (list.length === 0) {
      print("\x07");
      return undefined;
    }
    for (let i = 0; ;) {
      this.replace(i < list.length ? list[i] : typed);
      this.draw();
      const key = await this.key();
      if (key === null) return null;
      if (key === "\t") {
        i = (i + 1) % (list.length + 1);
        if (i === list.length) print("\x07");
      } else if (key === "\x1b") {
        this.replace(typed);
        this.draw();
        return undefined;
      } else return this.press(key);
    }
  }

  private draw(withHint = true): void {
    const columns = process.stdout.columns || 80;
    const shown = this.masked ? "*".repeat(this.text.length) : this.text.join("");
    const width = this.prompt.length + this.text.length;
    let out = `${this.rowsAbove > 0 ? `\x1b[${this.rowsAbove}A` : ""}\r\x1b[J${this.prompt}`;
    out += Buffer.from(shown, "utf8").toString("latin1");
    let end = width;
    if (withHint && !this.masked && width < columns) {
      const hint = this.texts.hint(this.text.join("")).slice(0, columns - width);
      if (hint !== "") out += `\x1b[0;90;49m${hint}\x1b[0m`;
      end += hint.length;
    }
    // A row that is exactly full leaves the cursor in its last column; the text goes on in the next row all the same.
    if (end > 0 && end % columns === 0) out += "\r\n";
    const cursor = this.prompt.length + this.at;
    const up = Math.floor(end / columns) - Math.floor(cursor / columns);
    if (up > 0) out += `\x1b[${up}A`;
    out += `\r${cursor % columns > 0 ? `\x1b[${cursor % columns}C` : ""}`;
    this.rowsAbove = Math.floor(cursor / columns);
    print(out);
  }
}

/** Single keys of a chunk: an escape sequence is one. */
function keysOf(chunk: string): string[] {
  return chunk.match(/\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Za-z]|[\s\S]/gu) ?? [];
}

const ACTIONS: Record<string, (e: LineEditor) => void> = {
  "\x01": (e) => e.move(-e.length),
  "\x02": (e) => e.move(-1),
  "\x04": (e) => e.cut(e.cursor, e.cursor + 1),
  "\x05": (e) => e.move(e.length),
  "\x06": (e) => e.move(1),
  "\x08": (e) => e.cut(e.cursor - 1, e.cursor),
  "\x0b": (e) => e.cut(e.cursor, e.length),
  "\x0c": (e) => e.clearScreen(),
  "\x0e": (e) => e.browse(1),
  "\x10": (e) => e.browse(-1),
  "\x14": (e) => e.swap(),
  "\x15": (e) => e.replace(""),
  "\x17": (e) => e.cut(e.wordStart(), e.cursor),
  "\x7f": (e) => e.cut(e.cursor - 1, e.cursor),
  "\x1b[A": (e) => e.browse(-1),
  "\x1b[B": (e) => e.browse(1),
  "\x1b[C": (e) => e.move(1),
  "\x1b[D": (e) => e.move(-1),
  "\x1b[H": (e) => e.move(-e.length),
  "\x1b[F": (e) => e.move(e.length),
  "\x1bOH": (e) => e.move(-e.length),
  "\x1bOF": (e) => e.move(e.length),
  "\x1b[1~": (e) => e.move(-e.length),
  "\x1b[4~": (e) => e.move(e.length),
  "\x1b[3~": (e) => e.cut(e.cursor, e.cursor + 1),
};
