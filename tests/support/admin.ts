/** Talking to an admin socket, the original's or ours: one line a connection, or a connection with a prompt. */
import { connect } from "node:net";

/** The reply to one line; `path` is a unix socket or a port. */
export function admin(path: string | number, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const s = typeof path === "number" ? connect(path, "127.0.0.1") : connect(path);
    let text = "";
    s.on("data", (d) => (text += d.toString("latin1")));
    s.on("error", reject);
    s.on("close", () => resolve(text));
    s.write(Buffer.from(`${line}\n`, "latin1"));
  });
}

/** `show stat` as records, one a line. */
export async function stat(path: string | number): Promise<Record<string, string>[]> {
  const lines = (await admin(path, "show stat")).split("\n").filter((l) => l !== "");
  const names = lines[0]!.slice(2).split(",");
  return lines.slice(1).map((l) => Object.fromEntries(fields(l).map((v, i) => [names[i] ?? "", v])));
}
/** A line of CSV; fields with commas or quotation marks in them are quoted. */
function fields(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((m) => m[1]?.replaceAll('""', '"') ?? m[2]!);
}
