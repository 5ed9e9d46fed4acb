/**
 * The house rules that a machine can check: imports go one way between the folders of lib/, and nothing in a pure core does I/O.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve, dirname } from "node:path";

const root = resolve(import.meta.dir, "../..");

/** What each folder of lib/ may import (besides itself). Arrows point down; modes never see each other. */
const allowed: Record<string, string[]> = {
  bytes: [],
  time: [],
  os: ["time", "bytes"],
  log: ["time", "bytes", "os"],
  resp: ["bytes"],
  net: ["time", "bytes", "resp", "os"],
  store: ["time", "bytes"],
  config: ["bytes"],
  fleet: ["bytes"],
  link: ["time", "bytes", "resp", "net"],
  clients: ["time", "bytes", "resp", "net", "log", "os", "config", "commands/table"],
  commands: ["time", "bytes", "resp", "net", "store", "clients", "link", "fleet", "config", "log", "os"],
  cli: ["time", "bytes", "os", "log", "config"],
  page: [],
  status: ["bytes", "resp", "net", "link", "fleet", "page"],
  check: ["bytes", "config", "os", "status"],
  redis_cli: ["bytes", "resp", "net", "commands/table", "config"],
  server: ["time", "bytes", "resp", "net", "store", "clients", "commands", "link", "fleet", "config", "log", "os", "cli"],
  sentinel: ["page", "time", "bytes", "resp", "net", "clients", "commands", "link", "fleet", "config", "log", "os", "cli"],
  proxy: ["page", "time", "bytes", "resp", "net", "commands/table", "link", "fleet", "config", "log", "os", "cli"],
  stack: ["time", "bytes", "resp", "net", "link", "fleet", "config", "log", "os", "cli"],
};

function files(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((e) => e.isFile() && e.name.endsWith(".ts"))
    .map((e) => join(e.parentPath, e.name));
}
function imports(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((m) => m[1]!);
}

test("imports between the folders of lib/ go one way", () => {
  const wrong: string[] = [];
  for (const file of files(join(root, "lib"))) {
    const path = relative(join(root, "lib"), file);
    const from = path.split("/")[0]!;
    const may = allowed[from];
    if (may === undefined) {
      wrong.push(`${path}: lib/${from} is not in the list of folders`);
      continue;
    }
    for (const target of imports(file)) {
      if (!target.startsWith(".")) continue;
      const to = relative(join(root, "lib"), resolve(dirname(file), target));
      if (to.startsWith("..")) {
        wrong.push(`${path} imports ${target}, outside lib/`);
        continue;
      }
      if (to.split("/")[0] === from) continue;
      if (!may.some((m) => to === m || to.startsWith(`${m}/`))) wrong.push(`${path} may not import ${to}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("a pure core does no I/O", () => {
  const wrong: string[] = [];
  for (const file of files(join(root, "lib"))) {
    const path = relative(join(root, "lib"), file);
    if (!path.includes("/core/") && !path.startsWith("fleet/")) continue;
    for (const target of imports(file)) {
      if (target.startsWith("node:") || target === "bun" || /\/(net|os|log|link|clients)\//.test(target))
        wrong.push(`${path} imports ${target}`);
    }
    const text = readFileSync(file, "utf8");
    const impure = text.match(/\b(Date\.now|Math\.random|setTimeout|setInterval|setImmediate|Bun\.|process\.|performance\.)/);
    if (impure) wrong.push(`${path} uses ${impure[0]}`);
  }
  expect(wrong).toEqual([]);
});

test("sockets are opened in lib/net alone, foreign functions in lib/os alone", () => {
  const wrong: string[] = [];
  for (const file of files(join(root, "lib"))) {
    const path = relative(join(root, "lib"), file);
    const text = readFileSync(file, "utf8");
    if (!path.startsWith("net/") && /\bBun\.(listen|connect|udpSocket)\b/.test(text)) wrong.push(`${path} opens a socket`);
    if (!path.startsWith("os/") && /"bun:ffi"/.test(text)) wrong.push(`${path} calls foreign functions`);
  }
  expect(wrong).toEqual([]);
});
