/**
 * How redis-cli shows a reply: for people, raw, as CSV, as JSON. Pure; latin1 text in and out. The shapes are those of redis-cli 7
 * (its functions cliFormatReply...), because scripts cut them apart.
 */
import { quoteArg } from "../bytes/args.ts";
import type { Value } from "./value.ts";

export type Output = "standard" | "raw" | "csv" | "json" | "quoted-json";

export interface Delimiters {
  /** Between the elements of one raw reply. */
  element: string;
  /** Behind each raw reply. */
  reply: string;
}

/** One reply, its closing newline included. `verbatim`: texts like INFO, shown as they are. */
export function format(value: Value, output: Output, verbatim: boolean, delimiters: Delimiters): string {
  if (verbatim) return raw(value, delimiters);
  switch (output) {
    case "standard":
      return tty(value, "");
    case "raw":
      return raw(value, delimiters) + delimiters.reply;
    case "csv":
      return `${csv(value)}\n`;
    case "json":
    case "quoted-json":
      return `${json(value, output)}\n`;
  }
}

const EMPTY: Record<string, string> = { array: "(empty array)\n", map: "(empty hash)\n", set: "(empty set)\n", push: "(empty push)\n" };

function tty(v: Value, prefix: string): string {
  switch (v.kind) {
    case "error":
      return `(error) ${cString(v.text)}\n`;
    case "status":
      return `${cString(v.text)}\n`;
    case "integer":
      return `(integer) ${v.text}\n`;
    case "double":
      return `(double) ${v.text}\n`;
    case "string":
      return `${quoteArg(v.text)}\n`;
    case "verbatim":
      return `${v.text}\n`;
    case "nil":
      return "(nil)\n";
    case "bool":
      return v.text === "t" ? "(true)\n" : "(false)\n";
    default:
      return v.items.length === 0 ? EMPTY[v.kind] : ttyList(v, prefix);
  }
}

function ttyList(v: Value, prefix: string): string {
  const isMap = v.kind === "map";
  const step = isMap ? 2 : 1;
  const width = String(v.items.length / step).length;
  const mark = v.kind === "set" ? "~" : isMap ? "#" : ")";
  const inner = prefix + " ".repeat(width + 2);
  let out = "";
  for (let i = 0; i < v.items.length; i += step) {
    // The one who called has already written what stands before the first element.
    out += `${i === 0 ? "" : prefix}${String(i / step + 1).padStart(width)}${mark} `;
    out += tty(v.items[i], inner);
    if (isMap) {
      const value = v.items[i + 1];
      out = `${out.slice(0, -1)} => ${isMultiline(value) ? `\n${inner}` : ""}${tty(value, inner)}`;
    }
  }
  return out;
}

/** The value takes several lines, so that a map's value must begin on one of its own. */
function isMultiline(v: Value): boolean {
  if (v.kind === "array" || v.kind === "set" || v.kind === "push")
    return v.items.length > 1 || (v.items.length === 1 && isMultiline(v.items[0]));
  if (v.kind === "map") return v.items.length > 2 || (v.items.length === 2 && isMultiline(v.items[1]));
  return false;
}

function raw(v: Value, delimiters: Delimiters): string {
  switch (v.kind) {
    case "nil":
      return "";
    case "error":
      return `${v.text}\n`;
    case "bool":
      return v.text === "t" ? "(true)" : "(false)";
    case "array":
    case "set":
    case "push":
      return v.items.map((item) => raw(item, delimiters)).join(delimiters.element);
    case "map": {
      const lines: string[] = [];
      for (let i = 0; i < v.items.length; i += 2) lines.push(`${raw(v.items[i], delimiters)} ${raw(v.items[i + 1], delimiters)}`);
      return lines.join(delimiters.element);
    }
    default:
      return v.text;
  }
}

function csv(v: Value): string {
  switch (v.kind) {
    case "error":
      return `ERROR,${quoteArg(cString(v.text))}`;
    case "integer":
    case "double":
      return v.text;
    case "nil":
      return "NULL";
    case "bool":
      return v.text === "t" ? "true" : "false";
    case "status":
    case "string":
    case "verbatim":
      return quoteArg(v.text);
    default:
      return v.items.map(csv).join(",");
  }
}

function json(v: Value, output: "json" | "quoted-json"): string {
  switch (v.kind) {
    case "error":
      return `error:${jsonText(cString(v.text), output)}`;
    case "integer":
    case "double":
      return v.text;
    case "nil":
      return "null";
    case "bool":
      return v.text === "t" ? "true" : "false";
    case "status":
    case "string":
    case "verbatim":
      return jsonText(v.text, output);
    case "map": {
      const members: string[] = [];
      for (let i = 0; i < v.items.length; i += 2) {
        const key = v.items[i];
        const isText = key.kind === "error" || key.kind === "status" || key.kind === "string" || key.kind === "verbatim";
        const shown = json(key, output);
        members.push(`${isText || shown.startsWith('"') ? shown : `"${shown}"`}:${json(v.items[i + 1], output)}`);
      }
      return `{${members.join(",")}}`;
    }
    default:
      return `[${v.items.map((item) => json(item, output)).join(",")}]`;
  }
}

const JSON_ESCAPES: Record<string, string> = {
  "\\": "\\\\",
  '"': '\\"',
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
};

/** In JSON bytes above 127 are left as they are: UTF-8 stays readable. `quoted-json` is all ASCII, with Redis' \x escapes in it. */
function jsonText(text: string, output: "json" | "quoted-json"): string {
  if (output === "quoted-json") return quoteArg(text).replaceAll("\\", "\\\\");
  // eslint-disable-next-line no-control-regex
  const inner = text.replace(/[\\"\x00-\x1f]/g, (c) => JSON_ESCAPES[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `"${inner}"`;
}

/** Statuses and errors are C strings in redis-cli: they end at their first NUL. */
function cString(text: string): string {
  const nul = text.indexOf("\0");
  return nul < 0 ? text : text.slice(0, nul);
}

/** RESP3's note about changed keys, as it appears between other replies: `-> invalidate: 'a', 'b'`. Null when the push is another. */
export function invalidation(v: Value): string | null {
  const [what, keys] = v.items;
  if (v.kind !== "push" || v.items.length !== 2 || what.kind !== "string" || !what.text.startsWith("invalidate")) return null;
  if (keys.kind !== "array") return null;
  return `-> invalidate: ${keys.items.map((k) => `'${k.text}'`).join(", ")}\n`;
}
