/** FUNCTION and FCALL. Cold around scripting.ts. Redis 7.2 functions.c. */
import { globMatchText } from "../../bytes/glob.ts";
import type { Runs } from "../../clients/bind.ts";
import type { Call } from "../../clients/call.ts";
import { FLAG_MASTER, FLAG_TRUSTED } from "../../clients/client.ts";
import { tooMany } from "../../clients/replies.ts";
import { errorLine } from "../../resp/errors.ts";
import { footerFits, sealed } from "../persistence/dump.ts";
import { OP_FUNCTION2, OP_FUNCTION_PRE_GA } from "../persistence/rdb_format.ts";
import { RdbSource } from "../persistence/rdb_source.ts";
import { LibrarySet, type Library, type LibraryFunction } from "./libraries.ts";
import type { Scripting } from "./scripting.ts";
import { SCRIPT_FLAGS } from "./shebang.ts";

const NOT_FOUND = errorLine("ERR Function not found");
const TOO_MANY_KEYS = errorLine("ERR Number of keys can't be greater than number of args");
const NEGATIVE_KEYS = errorLine("ERR Number of keys can't be negative");
const FOOTER_BYTES = 10;

function fcall(s: Scripting, c: Call, readOnly: boolean): void {
  s.server.service.monitor.line(c);
  const f = s.functions.current.find(c.text(1));
  if (f === undefined) return c.out.error(NOT_FOUND);
  const numKeys = c.integer(2);
  if (Number.isNaN(numKeys)) return c.out.errorText("ERR Bad number of keys provided");
  if (numKeys > c.argc - 3) return c.out.error(TOO_MANY_KEYS);
  if (numKeys < 0) return c.out.error(NEGATIVE_KEYS);
  s.execute(c, f, numKeys, readOnly);
}

/** A change of the libraries: replicas and files get the request as it is. */
function changed(c: Call): void {
  c.dirty++;
}

function load(s: Scripting, c: Call): void {
  const { functions } = s;
  let replace = false;
  for (let i = 2; i < c.argc - 1; i++) {
    if (!c.is(i, "replace")) return c.out.errorText(`ERR Unknown option given: ${c.text(i)}`);
    replace = true;
  }
  const obeyed = (c.client.flags & (FLAG_MASTER | FLAG_TRUSTED)) !== 0;
  const library = functions.load(c.copy(c.argc - 1), functions.current, replace, ...(obeyed ? [0] : []));
  if (typeof library === "string") return c.out.errorText(`ERR ${library}`);
  changed(c);
  c.out.bulkText(library.name);
}

function remove(s: Scripting, c: Call): void {
  const { functions } = s;
  const library = functions.current.libraries.get(c.text(2));
  if (library === undefined) return c.out.errorText("ERR Library not found");
  functions.current.remove(library);
  functions.release(library);
  changed(c);
  c.out.ok();
}

function flush(s: Scripting, c: Call): void {
  if (c.argc > 3) return tooMany(c);
  if (c.argc === 3 && !c.is(2, "sync") && !c.is(2, "async")) return c.out.errorText("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
  s.functions.become(new LibrarySet());
  changed(c);
  c.out.ok();
}

function dump(s: Scripting, c: Call): void {
  const { config } = s.server;
  const version = Math.max(10, config.number("rdb-version"));
  const codes = [...s.functions.current.libraries.values()].map((l) => l.code);
  const payload = sealed(version, config.bool("rdbcompression"), (w) => {
    for (const code of codes) {
      w.byte(OP_FUNCTION2);
      w.string(code, 0, code.length);
    }
  });
  c.out.bulkBuffer(payload);
}

/** The libraries of a payload, or the error's text. */
function readPayload(s: Scripting, payload: Buffer, set: LibrarySet): string | null {
  const source = new RdbSource(false);
  source.feed(payload);
  while (source.pos < source.end) {
    if (!source.takeByte()) return "can not read data type";
    if (source.value === OP_FUNCTION_PRE_GA) return "Pre-GA function format not supported";
    if (source.value !== OP_FUNCTION2) return "given type is not a function";
    if (!source.takeString()) return "Failed loading library data";
    const library = s.functions.load(Buffer.from(source.strB.subarray(source.strStart, source.strEnd)), set, false, 0);
    if (typeof library === "string") return library;
  }
  return null;
}

function restore(s: Scripting, c: Call): void {
  if (c.argc > 4) return tooMany(c);
  const policy = c.argc === 4 ? c.lower(3) : "append";
  if (policy !== "append" && policy !== "replace" && policy !== "flush")
    return c.out.errorText("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
  if (!footerFits(c.buf, c.s(2), c.e(2))) return c.out.errorText("ERR DUMP payload version or checksum are wrong");
  const { functions } = s;
  const set = new LibrarySet();
  const error = readPayload(s, c.copy(2).subarray(0, c.len(2) - FOOTER_BYTES), set);
  if (error !== null) {
    functions.releaseAll(set);
    return c.out.errorText(`ERR ${error}`);
  }
  if (policy === "flush") functions.become(set);
  else {
    const gone = functions.current.join(set, policy === "replace");
    if (typeof gone === "string") {
      functions.releaseAll(set);
      return c.out.errorText(`ERR ${gone}`);
    }
    for (const library of gone) functions.release(library);
  }
  changed(c);
  c.out.ok();
}

function listFunction(c: Call, f: LibraryFunction): void {
  const { out } = c;
  out.map(3);
  out.bulkText("name");
  out.bulkText(f.name);
  out.bulkText("description");
  if (f.description === null) out.nil();
  else out.bulkText(f.description);
  out.bulkText("flags");
  const names = Object.entries(SCRIPT_FLAGS).filter(([, bit]) => f.flags & bit);
  out.set(names.length);
  for (const [name] of names) out.status(name);
}

function listLibrary(c: Call, library: Library, withCode: boolean): void {
  const { out } = c;
  out.map(withCode ? 4 : 3);
  out.bulkText("library_name");
  out.bulkText(library.name);
  out.bulkText("engine");
  out.bulkText("LUA");
  out.bulkText("functions");
  out.array(library.functions.size);
  for (const f of library.functions.values()) listFunction(c, f);
  if (!withCode) return;
  out.bulkText("library_code");
  out.bulkBuffer(library.code);
}

function list(s: Scripting, c: Call): void {
  let withCode = false;
  let pattern: string | null = null;
  for (let i = 2; i < c.argc; i++) {
    if (!withCode && c.is(i, "withcode")) withCode = true;
    else if (pattern === null && c.is(i, "libraryname")) {
      if (i + 1 >= c.argc) return c.out.errorText("ERR library name argument was not given");
      pattern = c.text(++i);
    } else return c.out.errorText(`ERR Unknown argument ${c.text(i)}`);
  }
  let found = [...s.functions.current.libraries.values()];
  if (pattern !== null) {
    const glob = pattern;
    found = found.filter((l) => globMatchText(glob, l.name, true));
  }
  c.out.array(found.length);
  for (const library of found) listLibrary(c, library, withCode);
}

function stats(s: Scripting, c: Call): void {
  const { out } = c;
  const { busy } = s;
  if (busy !== null && busy.isEval) return out.error(s.busyLine());
  out.map(2);
  out.bulkText("running_script");
  if (busy === null) out.nil();
  else {
    out.map(3);
    out.bulkText("name");
    out.bulkText(busy.name);
    out.bulkText("command");
    out.array(busy.words.length);
    for (const word of busy.words) out.bulkBuffer(word);
    out.bulkText("duration_ms");
    out.int(Math.floor(busy.ms));
  }
  const { current } = s.functions;
  out.bulkText("engines");
  out.map(1);
  out.bulkText("LUA");
  out.map(2);
  out.bulkText("libraries_count");
  out.int(current.libraries.size);
  out.bulkText("functions_count");
  out.int(current.functionCount);
}

export function functionRuns(s: Scripting): Runs {
  return {
    fcall: (c) => fcall(s, c, false),
    fcall_ro: (c) => fcall(s, c, true),
    "function|load": (c) => load(s, c),
    "function|delete": (c) => remove(s, c),
    "function|flush": (c) => flush(s, c),
    "function|dump": (c) => dump(s, c),
    "function|restore": (c) => restore(s, c),
    "function|list": (c) => list(s, c),
    "function|stats": (c) => stats(s, c),
    "function|kill": (c) => {
      const why = s.kill(false);
      if (why !== null) c.out.error(why);
      else c.out.ok();
    },
  };
}
