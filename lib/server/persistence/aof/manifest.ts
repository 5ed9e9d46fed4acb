/**
 * The manifest of append only files: which file is the base, which incremental ones follow it, which are history. Pure.
 * Redis aof.c: aofManifest, aofLoadManifestFromFile. A line is `file NAME seq N type b|i|h`; the base comes first.
 */
import { quoteArg, splitArgs } from "../../../bytes/args.ts";

export interface AofFile {
  name: string;
  seq: number;
}

export interface Manifest {
  base: AofFile | null;
  /** In ascending order of seq. */
  incrs: AofFile[];
  /** To be deleted. */
  history: AofFile[];
  /** Highest seq ever given to a base. */
  baseSeq: number;
  incrSeq: number;
}

export function emptyManifest(): Manifest {
  return { base: null, incrs: [], history: [], baseSeq: 0, incrSeq: 0 };
}

const line = (f: AofFile, type: string): string =>
  `file ${/[\s"'\\]/.test(f.name) ? quoteArg(f.name) : f.name} seq ${f.seq} type ${type}\n`;

export function manifestText(m: Manifest): string {
  return (
    (m.base === null ? "" : line(m.base, "b")) + m.history.map((f) => line(f, "h")).join("") + m.incrs.map((f) => line(f, "i")).join("")
  );
}

/** Why a text is no manifest; `line` 0: no line is to blame. */
export interface ManifestError {
  error: string;
  line: number;
  text: string;
}

/** Longest line, with its end. */
const LINE_MAX = 1024;

/** The manifest in a text, or why it is none. */
export function parseManifest(text: string): Manifest | ManifestError {
  const m = emptyManifest();
  const lines = text.split("\n");
  if (text === "") return { error: "Found an empty AOF manifest", line: 0, text: "" };
  for (const [i, raw] of lines.entries()) {
    if (raw === "" && i === lines.length - 1) break;
    if (raw.startsWith("#")) continue;
    // The line that Redis shows is the last one it could read.
    if (raw.length >= LINE_MAX || i === lines.length - 1)
      return { error: "The AOF manifest file contains too long line", line: i, text: (lines[i - 1] ?? "").trim() };
    const wrong = (error: string): ManifestError => ({ error, line: i + 1, text: raw.trim() });
    const bad = wrong("Invalid AOF manifest file format");
    const words = splitArgs(raw.trim());
    if (words === null || words.length < 6 || words.length % 2 === 1) return bad;
    const field = (name: string): string | undefined => {
      for (let k = 0; k < words.length; k += 2) if (words[k].toLowerCase() === name) return words[k + 1];
      return undefined;
    };
    const name = field("file");
    const seq = Number(field("seq"));
    const type = field("type");
    if (name === undefined || name === "" || !Number.isInteger(seq) || seq < 1 || type === undefined) return bad;
    if (name.includes("/")) return wrong("File can't be a path, just a filename");
    const file = { name, seq };
    if (type === "b") {
      if (m.base !== null) return wrong("Found duplicate base file information");
      m.base = file;
      m.baseSeq = seq;
    } else if (type === "h") m.history.push(file);
    else if (type === "i") {
      if (seq <= m.incrSeq) return wrong("Found a non-monotonic sequence number");
      m.incrs.push(file);
      m.incrSeq = seq;
    } else return wrong("Unknown AOF file type");
  }
  return m;
}
