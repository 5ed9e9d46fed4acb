/**
 * The argument tree of a command, read from the `args` text of its row when COMMAND DOCS or a HELP asks. COLD.
 *
 * Arguments are separated by blanks; `[x]` is optional. One argument is
 *   name            a string; name:int name:double name:pattern name:time are other types, name:token a token without a word
 *   key             a key that the row's first key spec finds; dest#1 one that the spec with index 1 finds
 *   TOKEN           a pure token called `token`; TOKEN:name one called otherwise
 *   TOKEN name      an argument that follows a word; also before groups
 *   name(a b)       a block: all of these, in this order
 *   name(a|b)       one of these
 * and may end in, in this order: 'text' (how to show it), ... (may be repeated) or &... (repeated together with its token),
 * @6.2.0 (since), !2.8.12 (deprecated since).
 */

export interface Arg {
  name: string;
  type: "string" | "integer" | "double" | "key" | "pattern" | "unix-time" | "pure-token" | "oneof" | "block";
  /** Which key spec of the row finds it; -1 when it is no key. */
  keySpec: number;
  token: string;
  display: string;
  since: string;
  deprecatedSince: string;
  optional: boolean;
  multiple: boolean;
  multipleToken: boolean;
  args: Arg[];
}

const TYPES: Record<string, Arg["type"]> = {
  int: "integer",
  double: "double",
  pattern: "pattern",
  time: "unix-time",
  string: "string",
  token: "pure-token",
};

/** The tree that `text` describes; empty for "". Throws on a text that breaks the grammar: rows are ours. */
export function parseArgs(text: string): Arg[] {
  const reader = new Reader(text);
  const list = text === "" ? [] : reader.sequence();
  reader.expectEnd();
  return list;
}

class Reader {
  private readonly text: string;
  private at: number;

  constructor(text: string) {
    this.text = text;
    this.at = 0;
  }

  expectEnd(): void {
    if (this.at !== this.text.length) throw new Error(`command table: args broken at ${this.at}: ${this.text}`);
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const m = pattern.exec(this.text);
    if (m === null) return null;
    this.at += m[0].length;
    return m[0];
  }

  private eat(char: string): boolean {
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  sequence(): Arg[] {
    const list = [this.argument()];
    while (this.text[this.at] === " " && this.text[this.at + 1] !== "|") {
      this.at++;
      list.push(this.argument());
    }
    return list;
  }

  private argument(): Arg {
    if (!this.eat("[")) return this.plain();
    const arg = this.plain();
    if (!this.eat("]")) throw new Error(`command table: ] missing at ${this.at}: ${this.text}`);
    arg.optional = true;
    return arg;
  }

  private plain(): Arg {
    const arg: Arg = {
      name: "",
      type: "string",
      keySpec: -1,
      token: "",
      display: "",
      since: "",
      deprecatedSince: "",
      optional: false,
      multiple: false,
      multipleToken: false,
      args: [],
    };
    const token = this.match(/[A-Z][A-Z0-9-]*|""|[=~*$]/y);
    if (token !== null) {
      arg.token = token;
      if (this.eat(":")) {
        arg.name = this.match(/[a-z0-9-]+/y) ?? "";
        arg.type = "pure-token";
      } else if (/^ [a-z]/.test(this.text.slice(this.at, this.at + 2))) this.at++;
      else {
        arg.name = token.toLowerCase();
        arg.type = "pure-token";
      }
    }
    if (arg.name === "") this.body(arg);
    this.suffixes(arg);
    return arg;
  }

  private body(arg: Arg): void {
    arg.name = this.match(/[a-z][a-z0-9-]*/y) ?? "";
    if (arg.name === "") throw new Error(`command table: no argument at ${this.at}: ${this.text}`);
    if (this.eat("(")) {
      arg.args = this.sequence();
      arg.type = "block";
      while (this.match(/ ?\| ?/y) !== null) {
        arg.type = "oneof";
        arg.args.push(this.argument());
      }
      if (!this.eat(")")) throw new Error(`command table: ) missing at ${this.at}: ${this.text}`);
      return;
    }
    const type = this.eat(":") ? TYPES[this.match(/[a-z]+/y) ?? ""] : undefined;
    if (this.eat("#")) arg.keySpec = Number(this.match(/\d/y));
    else if (arg.name === "key" && type === undefined) arg.keySpec = 0;
    arg.type = type ?? (arg.keySpec >= 0 ? "key" : "string");
  }

  private suffixes(arg: Arg): void {
    arg.display = (this.match(/'[^']*'/y) ?? "").slice(1, -1);
    arg.multipleToken = this.eat("&");
    arg.multiple = this.match(/\.\.\./y) !== null;
    if (this.eat("@")) arg.since = this.match(/[\d.]+/y) ?? "";
    if (this.eat("!")) arg.deprecatedSince = this.match(/[\d.]+/y) ?? "";
  }
}

/** A command line as people write it: `<key> <value> [NX|XX] [GET] [EX <seconds>|...]`. */
export function syntaxOf(args: readonly Arg[]): string {
  return args.map(syntaxOfOne).join(" ");
}

function syntaxOfOne(arg: Arg): string {
  const shown = arg.display === "" ? arg.name : arg.display;
  let value: string;
  if (arg.type === "oneof") {
    value = arg.args.map((a) => (a.optional ? syntaxOfOne({ ...a, optional: false }) : syntaxOfOne(a))).join("|");
    if (!arg.optional || arg.multiple || arg.token !== "") value = `(${value})`;
  } else if (arg.type === "block") value = syntaxOf(arg.args);
  else if (arg.type === "pure-token") value = arg.token === "" ? shown : "";
  else value = `<${shown}>`;
  let one = arg.token === "" ? value : value === "" ? arg.token : `${arg.token} ${value}`;
  if (arg.multiple) one = `${one} [${arg.multipleToken ? one : value} ...]`;
  return arg.optional ? `[${one}]` : one;
}
