/**
 * Redis' argument lines: configuration files, inline commands, `--name value` options. Cold. Strings are latin1, one char a byte.
 *
 * `splitArgs` reads, `quoteArg` writes what it reads back; both follow Redis sds.c (sdssplitargs, sdscatrepr).
 */

const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

function isSpace(c: string): boolean {
  return c === " " || (c >= "\t" && c <= "\r");
}

/**
 * The words of a line; an empty list for a blank one; null when a quote is not closed or is followed by anything but a blank.
 * "..." knows \xNN \n \r \t \b \a and \ before any other byte; '...' knows \' only. A line ends at its first NUL, as a C string.
 */
export function splitArgs(line: string): string[] | null {
  const nul = line.indexOf("\0");
  const text = nul < 0 ? line : line.slice(0, nul);
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && isSpace(text[at])) at++;
    if (at >= text.length) return words;
    let word = "";
    for (let quote = ""; ; at++) {
      const c = text[at];
      if (c === undefined) {
        if (quote !== "") return null;
        break;
      }
      if (quote === "") {
        // Only these four end a bare word; \v and \f are blanks between words but part of one.
        if (c === " " || c === "\n" || c === "\r" || c === "\t") break;
        if (c === '"' || c === "'") quote = c;
        else word += c;
      } else if (c === quote) {
        at++;
        if (at < text.length && !isSpace(text[at])) return null;
        break;
      } else if (c === "\\" && quote === '"' && at + 1 < text.length) {
        const hex = /^x([0-9a-fA-F]{2})/.exec(text.slice(at + 1, at + 4));
        if (hex !== null) {
          word += String.fromCharCode(Number.parseInt(hex[1], 16));
          at += 3;
        } else {
          at++;
          word += ESCAPES[text[at]] ?? text[at];
        }
      } else if (c === "\\" && quote === "'" && text[at + 1] === "'") {
        word += "'";
        at++;
      } else word += c;
    }
    words.push(word);
  }
}

/** The text in double quotes, with escapes for everything that is not printable ASCII (Redis sdscatrepr). */
export function quoteArg(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    const code = text.charCodeAt(i) & 255;
    if (c === "\\" || c === '"') out += `\\${c}`;
    else if (c === "\n") out += "\\n";
    else if (c === "\r") out += "\\r";
    else if (c === "\t") out += "\\t";
    else if (c === "\x07") out += "\\a";
    else if (c === "\b") out += "\\b";
    else if (code >= 32 && code < 127) out += c;
    else out += `\\x${code.toString(16).padStart(2, "0")}`;
  }
  return `${out}"`;
}
