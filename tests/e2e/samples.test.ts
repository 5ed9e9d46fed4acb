/** The samples of conf/ on the compiled file: each is run by a test, here or where its subject is (init scripts, units, Sentinel). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, freePort, Program, redisha, root, startServer, tempDir, until } from "../support/programs.ts";

const conf = join(root, "conf");
let dir = "";
beforeAll(() => void (dir = tempDir()));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("no sample without a test", () => {
  const tests = readdirSync(join(root, "tests"), { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(".test.ts"))
    .map((f) => readFileSync(join(root, "tests", f), "utf8"))
    .join("\n");
  expect(readdirSync(conf).filter((name) => !tests.includes(`conf/${name}"`) && !tests.includes(`"${name}"`))).toEqual([]);
});

test("conf/redis.conf", async () => {
  const port = freePort();
  await using server = new Program("sample", [redisha, join(conf, "redis.conf"), "--port", String(port), "--dir", dir], port, dir, false);
  server.start();
  await server.ready();
  expect(await server.cli("set", "a", "1")).toBe("OK");
  expect(await server.cli("config", "get", "bind")).toBe("bind\n127.0.0.1 -::1");
  expect((await server.info("server"))["config_file"]).toBe(join(conf, "redis.conf"));
  expect(await server.stop("SIGTERM")).toBe(0);
});

test("conf/haproxy.cfg", async () => {
  const sample = join(conf, "haproxy.cfg");
  const checked = Bun.spawnSync([redisha, "--proxy", "-c", "-f", sample], { stdout: "pipe", stderr: "pipe" });
  expect([checked.exitCode, checked.stdout.toString(), checked.stderr.toString()]).toEqual([0, "Configuration file is valid\n", ""]);

  await using master = await startServer("redisha");
  await using replica = await startServer("redisha", { replicaof: `127.0.0.1 ${master.port}` });
  const port = freePort();
  const file = join(dir, "haproxy.cfg");
  const text = readFileSync(sample, "latin1")
    .replace("*:6378", `127.0.0.1:${port}`)
    .replace("127.0.0.1:6379", `127.0.0.1:${replica.port}`)
    .replace("127.0.0.1:6380", `127.0.0.1:${master.port}`)
    .replace(/^.*127\.0\.0\.1:6381 .*$/m, "");
  writeFileSync(file, text);
  await using proxy = new Program("proxy", [redisha, "--proxy", file], port, dir, false);
  proxy.start();
  await proxy.ready();
  expect(await cli(port, "set", "through", "the proxy")).toBe("OK");
  expect(await master.cli("get", "through")).toBe("the proxy");
  await until("the replica", async () => (await replica.cli("get", "through")) === "the proxy");
  expect(await proxy.stop("SIGTERM")).toBe(0);
});
