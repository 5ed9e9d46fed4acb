/**
 * The same scene played with the real haproxy 2.6 and with ours (strict-haproxy on), one after the other: the same configuration, clients and
 * servers. What each wrote to its log must be equal but for times and ports.
 */
import { afterAll, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { join } from "node:path";
import { freePort, hasHaproxy, tempDir, until, type Program } from "./programs.ts";
import { startProxy, Target } from "./proxy.ts";

export type ProxyKind = "haproxy" | "redisha";
export const KINDS = ["haproxy", "redisha"] as const;

/** A server that says what it hears, and ends when its client does. */
export const echo = (s: Socket): void => {
  s.on("data", (d) => s.write(d));
  s.on("end", () => s.end());
};
export const globalOf = (kind: ProxyKind, sock: string): string =>
  `global\n log stdout format raw local0\n stats socket ${sock} mode 600 level admin\n${kind === "redisha" ? " strict-haproxy on\n" : " nbthread 1\n"}`;
export const DEFAULTS = `defaults
 mode tcp
 log global
 option tcplog
 timeout connect 500ms
 timeout client 10s
 timeout server 10s
`;
export const LISTEN = "listen l\n bind 127.0.0.1:{port}\n";

/** Times become N (or -1), ports P; what is left must be equal. */
export function plain(output: string, ports: number[]): string[] {
  return output
    .split("\n")
    .filter((l) => l !== "" && !l.startsWith("[") && !l.startsWith("   |"))
    .map((l) =>
      l
        .replace(/^(<\d+>)?127\.0\.0\.1:\d+ \[[^\]]*\]/, "$1C [T]")
        .replace(/ (-1|\d+)\/(-1|\d+)\/\d+ /, (_all, w: string, c: string) => ` ${w === "-1" ? w : "N"}/${c === "-1" ? c : "N"}/N `)
        .replace(/check duration: \d+ms/, "check duration: Nms"),
    )
    .map((l) => ports.reduce((t, p, i) => t.replaceAll(`:${p}`, `:P${i}`), l));
}

/** What a scene has at hand. */
export interface Scene {
  kind: ProxyKind;
  proxy: Program;
  /** The admin socket's path. */
  sock: string;
  a: Target | null;
  dead: number;
  /** Waits until that many lines are there; the most that was asked for is compared. */
  lines(count: number): Promise<void>;
  /** Something that must be equal besides the lines. */
  note(what: unknown): void;
}

export interface Life {
  name: string;
  /** Sections behind defaults; {port} is the proxy's, {a} a server's, {dead} nobody's, {sock} the admin socket's. */
  config: string;
  a?: (s: Socket) => void;
  /** What else stands in braces, asked before each program starts. */
  values?: () => Record<string, string>;
  run(scene: Scene): Promise<void>;
}

/** One test a scene. */
export function sameLives(lives: Life[]): void {
  const running: Program[] = [];
  afterAll(async () => {
    for (const p of running) await p.stop();
  });
  for (const life of lives)
    test.skipIf(!hasHaproxy)(
      life.name,
      async () => {
        const seen: { lines: string[]; notes: unknown[] }[] = [];
        for (const kind of KINDS) {
          const a = life.a === undefined ? null : await Target.start(life.a);
          const dead = freePort();
          const sock = join(tempDir("life."), "s.sock");
          const values: Record<string, string> = { a: String(a?.port), dead: String(dead), sock, ...life.values?.() };
          const text = `${globalOf(kind, sock)}${DEFAULTS}${life.config}`.replace(/\{(\w+)\}/g, (all, name: string) => values[name] ?? all);
          const proxy = await startProxy(kind, text);
          running.push(proxy);
          const all = (): string[] => plain(proxy.output, [a?.port ?? 0, dead]);
          let wanted = 0;
          const notes: unknown[] = [];
          await life.run({
            kind,
            proxy,
            sock,
            a,
            dead,
            note: (what) => void notes.push(what),
            async lines(count) {
              wanted = Math.max(wanted, count);
              await until(`${count} lines of ${kind}, has\n${proxy.output}`, () => all().length >= count).catch((error: Error) => {
                throw new Error(`${error.message}\nnow:\n${proxy.output}`);
              });
            },
          });
          await proxy.stop("SIGTERM");
          await a?.stop().catch(() => {});
          seen.push({ lines: all().slice(0, wanted), notes });
        }
        expect(seen[1]).toEqual(seen[0]!);
      },
      60_000,
    );
}
