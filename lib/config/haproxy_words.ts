/**
 * The words of one haproxy.cfg line: quotes, escapes, comments, environment variables (HAProxy configuration 2.2 and 2.3). Pure, COLD.
 *
 * Only space and TAB separate words; a non-breaking space is an ordinary character, which the reader points out (C1 in the notes).
 * Lines are latin1 strings, one char a byte, so that any byte reaches a tcp-check rule unchanged.
 */

export const WORDS_MAX = 64;

export interface Words {
  words: string[];
  /** The first problem, in HAProxy's words without the place, e.g. `unmatched quote`; "" when there is none. */
  error: string;
  /** 0-based index in the line of the problem. */
  at: number;
  /** The word at which a line with more than 64 words was cut. */
  tooMany: string;
}

const isSpace = (c: string): boolean => c === " " || c === "\t";
const isHex = (c: string | undefined): boolean => c !== undefined && /^[0-9a-fA-F]$/.test(c);
const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t", " ": " ", "#": "#", "\\": "\\", "'": "'", '"': '"' };

/** Splits one line (without its newline). `env` answers variables; undefined is an unset one, which expands to nothing. */
export function splitWords(line: string, env: (name: string) => string | undefined): Words {
  const words: string[] = [];
  let word = "";
  let inWord = false;
  let quote = "";
  let quoteAt = 0;
  let i = 0;
  const fail = (error: string, at: number): Words => ({ words, error, at, tooMany: "" });
  const push = (): void => {
    if (inWord) words.push(word);
    word = "";
    inWord = false;
  };
  while (i < line.length) {
    const c = line[i]!;
    if (quote === "'") {
      if (c === "'") quote = "";
      else word += c;
      i++;
      continue;
    }
    if (quote === "" && isSpace(c)) {
      push();
      i++;
      continue;
    }
    if (quote === "" && c === "#") break;
    if (quote === "" && c === "\r" && i === line.length - 1) break; // CRLF files
    if (words.length >= WORDS_MAX) return { words, error: "", at: i, tooMany: line.slice(i) };
    inWord = true;
    if (c === '"') {
      quote = quote === "" ? '"' : "";
      if (quote !== "") quoteAt = i;
      i++;
    } else if (c === "'" && quote === "") {
      quote = "'";
      quoteAt = i++;
    } else if (c === "\\") {
      const next = line[i + 1];
      if (next === "x") {
        if (!isHex(line[i + 2]) || !isHex(line[i + 3])) return fail("truncated or invalid hexadecimal sequence", i);
        word += String.fromCharCode(Number.parseInt(line.slice(i + 2, i + 4), 16));
        i += 4;
      } else if (next !== undefined && ESCAPES[next] !== undefined) {
        word += ESCAPES[next];
        i += 2;
      } else if (next === "$" && quote === '"') {
        word += "$";
        i += 2;
      } else {
        // An unknown escape stays as it is written.
        word += c;
        i++;
      }
    } else if (c === "$" && quote === '"') {
      const v = variable(line, i, env);
      if (v.error !== "") return fail(v.error, v.at);
      if (v.list !== null) {
        // ${LIST[*]}: each word of the value becomes a word of the line
        v.list.forEach((piece, n) => {
          if (n > 0) push();
          inWord = true;
          word += piece;
        });
      } else word += v.text;
      i = v.next;
    } else {
      word += c;
      i++;
    }
  }
  if (quote !== "") return fail("unmatched quote", quoteAt);
  push();
  return { words, error: "", at: 0, tooMany: "" };
}

interface Variable {
  text: string;
  list: string[] | null;
  next: number;
  error: string;
  at: number;
}

/** Reads `$NAME`, `${NAME}`, `${NAME-default}` or `${NAME[*]}` whose `$` is at `start`. */
function variable(line: string, start: number, env: (name: string) => string | undefined): Variable {
  const bad = (error: string, at: number): Variable => ({ text: "", list: null, next: at, error, at });
  let i = start + 1;
  const braces = line[i] === "{";
  if (braces) i++;
  const first = i;
  if (!/[A-Za-z_.]/.test(line[i] ?? "")) return bad("forbidden first char in environment variable name", i);
  i++;
  while (i < line.length && /[A-Za-z0-9_]/.test(line[i]!)) i++;
  const value = env(line.slice(first, i));
  let list = false;
  let text = value ?? "";
  if (braces) {
    if (line.startsWith("[*]", i)) {
      list = true;
      i += 3;
    }
    if (line[i] === "-") {
      const end = line.indexOf("}", i);
      if (end < 0) return bad("unmatched brace in environment variable name", first - 1);
      if (value === undefined) text = line.slice(i + 1, end);
      i = end;
    }
    if (line[i] !== "}") return bad("unmatched brace in environment variable name", first - 1);
    i++;
  }
  return { text, list: list ? text.split(/[ \t]+/).filter((s) => s !== "") : null, next: i, error: "", at: 0 };
}

/** 1-based column of the first non-breaking space (U+00A0 as UTF-8) outside a comment; 0 when there is none. */
export function nonBreakingSpaceColumn(line: string): number {
  const at = line.indexOf("\xc2\xa0");
  if (at < 0) return 0;
  const comment = line.indexOf("#");
  return comment >= 0 && comment < at ? 0 : at + 1;
}
