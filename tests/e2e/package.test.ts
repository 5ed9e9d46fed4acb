/**
 * The packages: made, unpacked, started, upgraded under a running server, removed. The Debian package goes into a folder of its own with
 * `dpkg --root` (its scripts run without chroot and know that by DPKG_ROOT: no users, no systemd), the others are unpacked into folders.
 * The Containerfile is not built here: there is no container program.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, Program, redisha, root, tempDir } from "../support/programs.ts";
import { readStatusOptions } from "../../lib/status/main.ts";
import { OWN_OPTIONS } from "../../lib/stack/plan.ts";

const hasDpkg = Bun.which("dpkg-deb") !== null && Bun.which("dpkg") !== null && process.getuid?.() === 0;
if (!hasDpkg) console.warn("SKIPPING the Debian package's test: it needs dpkg and root");

let dir = "";
beforeAll(() => void (dir = tempDir()));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Programs of the packages that are compressed: packing the real one takes a minute, and what is tested here is where it lands. */
let standIn = "";

function run(...words: string[]): { out: string; err: string; code: number } {
  const p = Bun.spawnSync(words, {
    cwd: root,
    env: { ...process.env, REDISHA: standIn || redisha, COMPRESSION: "none", OUT: dir, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
  });
  return { out: p.stdout.toString(), err: p.stderr.toString(), code: p.exitCode };
}
function make(packages: string, version = ""): string[] {
  const made = run("env", `PACKAGES=${packages}`, ...(version === "" ? [] : [`VERSION=${version}`]), "packaging/build.sh");
  expect([made.code, made.err]).toEqual([0, ""]);
  return made.out.trim().split("\n");
}

describe.skipIf(!hasDpkg)("deb", () => {
  test("install, start, upgrade under a running server, remove, purge", async () => {
    const base = join(dir, "root");
    mkdirSync(join(base, "var/lib/dpkg/updates"), { recursive: true });
    mkdirSync(join(base, "var/lib/dpkg/info"), { recursive: true });
    for (const f of ["status", "available"]) writeFileSync(join(base, "var/lib/dpkg", f), "");
    const dpkg = (...words: string[]): { out: string; err: string; code: number } =>
      run("dpkg", `--root=${base}`, "--force-script-chrootless", "--force-depends", "--force-confold", ...words);

    const installed = dpkg("-i", make("deb", "0.0.1")[0]);
    expect([installed.code, installed.out]).toEqual([0, expect.stringContaining("Setting up redisha (0.0.1)")]);
    const program = join(base, "usr/bin/redisha");
    for (const name of ["usr/bin/redis-server", "usr/bin/redis-sentinel", "usr/bin/redis-cli", "usr/sbin/haproxy"])
      expect([name, lstatSync(join(base, name)).isSymbolicLink()]).toEqual([name, true]);
    for (const f of ["server", "sentinel", "proxy", "server@"])
      expect(readFileSync(join(base, `lib/systemd/system/redisha-${f}.service`), "utf8")).toMatch(
        /^ExecStart=\/usr\/bin\/redisha .*\n[^]*^MemoryDenyWriteExecute=false$/m,
      );
    for (const f of ["server", "sentinel", "proxy"]) {
      expect(run("sh", "-n", join(base, `etc/init.d/redisha-${f}`)).code).toBe(0);
      expect(readFileSync(join(base, `etc/init.d/redisha-${f}`), "utf8")).not.toMatch(/\/usr\/local|\/etc\/redis\/|\/etc\/haproxy\//);
    }
    for (const f of ["usr/share/man/man1/redisha.1.gz", "usr/share/bash-completion/completions/redisha", "usr/share/doc/redisha/copyright"])
      expect(existsSync(join(base, f))).toBe(true);

    // The sample that it brings starts, with a folder of this test in the place of the machine's.
    const port = freePort();
    const data = join(dir, "data");
    mkdirSync(data);
    const conf = join(data, "redis.conf");
    writeFileSync(conf, readFileSync(join(base, "etc/redisha/redis.conf"), "utf8").replace("\ndir /var/lib/redisha\n", `\ndir ${data}\n`));
    await using server = new Program("installed", [program, conf, "--port", String(port)], port, data, false);
    server.start();
    await server.ready();
    await server.cli("set", "before", "the upgrade");
    expect(run(program, "--proxy", "-c", "-f", join(base, "etc/redisha/haproxy.cfg")).out).toBe("Configuration file is valid\n");

    // Somebody has changed a file of /etc: the upgrade keeps it. The server goes on with the file it runs, and is the new one after its restart.
    appendFileSync(join(base, "etc/redisha/redis.conf"), "# changed here\n");
    const upgraded = dpkg("-i", make("deb", "0.0.2")[0]);
    expect([upgraded.code, upgraded.out]).toEqual([0, expect.stringContaining("Unpacking redisha (0.0.2) over (0.0.1)")]);
    expect(readFileSync(join(base, "etc/redisha/redis.conf"), "utf8")).toEndWith("# changed here\n");
    expect(await server.cli("get", "before")).toBe("the upgrade");
    expect(readFileSync(`/proc/${server.pid}/maps`, "utf8")).toContain("(deleted)");
    expect(await server.stop("SIGTERM")).toBe(0);
    server.start();
    await server.ready();
    expect(await server.cli("get", "before")).toBe("the upgrade");
    expect(readFileSync(`/proc/${server.pid}/maps`, "utf8")).not.toContain("redisha (deleted)");
    await server.stop("SIGTERM");

    expect(dpkg("-r", "redisha").code).toBe(0);
    expect([existsSync(program), existsSync(join(base, "usr/bin/redis-server")), existsSync(join(base, "etc/redisha/redis.conf"))]).toEqual(
      [false, false, true],
    );
    expect(dpkg("-P", "redisha").code).toBe(0);
    expect(existsSync(join(base, "etc/redisha"))).toBe(false);
  }, 180_000);
});

test("tar.gz and npm: unpacked, they run", () => {
  const script = join(dir, "stand-in");
  writeFileSync(script, '#!/bin/sh\necho "redisha stands here: $*"\n', { mode: 0o755 });
  standIn = script;
  const [tar, npm] = make("tar npm");
  standIn = "";
  expect(run("tar", "-xzf", tar, "-C", dir).code).toBe(0);
  const [folder] = readdirSync(dir).filter((name) => name.startsWith("redisha-") && statSync(join(dir, name)).isDirectory());
  expect(run(join(dir, folder, "usr/bin/redisha"), "--version").out).toBe("redisha stands here: --version\n");
  // As npm does it: the package unpacked, a link to its bin.
  mkdirSync(join(dir, "npm"));
  expect(run("tar", "-xzf", npm, "-C", join(dir, "npm")).code).toBe(0);
  const json = JSON.parse(readFileSync(join(dir, "npm/package/package.json"), "utf8"));
  expect(json).toMatchObject({ name: "redisha", bin: { redisha: "bin/redisha" }, os: ["linux"] });
  expect(json.version).toBe(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version);
  expect(run(join(dir, "npm/package", json.bin.redisha), "--version").out).toBe("redisha stands here: --version\n");
}, 180_000);

test("completion and manual name the options that there are", () => {
  const bash = readFileSync(join(root, "packaging/completion/redisha.bash"), "utf8");
  expect(run("bash", "-n", "packaging/completion/redisha.bash").code).toBe(0);
  for (const option of OWN_OPTIONS) expect(bash).toContain(option);
  const words = /--status\) words="([^"]*)"/
    .exec(bash)![1]
    .split(" ")
    .filter((word) => word !== "--help");
  for (const word of words)
    expect(
      typeof readStatusOptions([word, "1"], {}) === "string" && (readStatusOptions([word, "1"], {}) as string).startsWith("unknown"),
    ).toBe(false);
  const manual = readFileSync(join(root, "packaging/man/redisha.1"), "utf8").replaceAll("\\-", "-");
  for (const mode of ["--sentinel", "--proxy", "--stack", "--cli", "--status", "--check", "--doctor"]) {
    expect(manual).toContain(mode);
    expect(bash).toContain(mode);
  }
});
