import { expect, test } from "bun:test";
import { Config } from "../../../lib/config/config.ts";
import { ROWS } from "../../../lib/config/redis_rows.ts";

const free = { loading: false, mayProtected: true };
const guarded = { loading: false, mayProtected: false };

test("183 directives of Redis 7.2, 19 aliases, and our own", () => {
  const own = ROWS.filter((row) => (row.flags & 512) !== 0).map((row) => row.name);
  expect(own).toEqual(["boot-fence", "rdb-version", "proxy-protocol-from"]);
  expect(ROWS.length - own.length).toBe(183);
  expect(ROWS.flatMap((row) => [...row.aliases]).length).toBe(19);
  const names = ROWS.flatMap((row) => [row.name as string, ...row.aliases]);
  expect(new Set(names).size).toBe(names.length);
});

test("typed access and CONFIG GET agree", () => {
  const config = new Config();
  expect(config.number("port")).toBe(6379);
  expect(config.bool("appendonly")).toBe(false);
  expect(config.text("dbfilename")).toBe("dump.rdb");
  expect(config.choice("maxmemory-policy")).toBe("noeviction");
  expect(config.special("bind")).toEqual(["*", "-::*"]);
  expect(config.show("save")).toBe("3600 1 300 100 60 10000");
  expect(config.show("CLIENT-output-buffer-limit")).toBe("normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
  expect(config.show("nothing-like-it")).toBeNull();
});

test("CONFIG GET: exact names as typed, patterns, aliases, each once, hidden ones only by name", () => {
  const config = new Config();
  expect(config.match(["MaxMemory"])).toEqual([["MaxMemory", "0"]]);
  expect(config.match(["slaveof", "replicao?", "slaveof"])).toEqual([
    ["slaveof", ""],
    ["replicaof", ""],
  ]);
  expect(config.match(["watchdog*"])).toEqual([]);
  expect(config.match(["watchdog-period"])).toEqual([["watchdog-period", "0"]]);
  expect(config.match(["*", "port"]).filter(([name]) => name === "port")).toEqual([["port", "6379"]]);
});

test("CONFIG SET of several directives is all or nothing", () => {
  const config = new Config();
  const error = config.set(["maxmemory", "1gb", "maxmemory-samples", "0"], free);
  expect(error).toBe(
    "ERR CONFIG SET failed (possibly related to argument 'maxmemory-samples') - argument must be between 1 and 2147483647 inclusive",
  );
  expect(config.number("maxmemory")).toBe(0);
  expect(config.set(["maxmemory", "1gb", "maxmemory-samples", "7"], free)).toBeNull();
  expect([config.number("maxmemory"), config.number("maxmemory-samples")]).toEqual([1024 ** 3, 7]);
});

test("the gates: unknown, immutable, protected, loading, twice", () => {
  const config = new Config();
  expect(config.set(["foo", "bar"], free)).toBe("ERR Unknown option or number of arguments for CONFIG SET - 'foo'");
  expect(config.set(["Daemonize", "yes"], free)).toBe(
    "ERR CONFIG SET failed (possibly related to argument 'Daemonize') - can't set immutable config",
  );
  expect(config.set(["dbfilename", "x"], guarded)).toBe(
    "ERR CONFIG SET failed (possibly related to argument 'dbfilename') - can't set protected config",
  );
  expect(config.set(["appendonly", "yes"], { loading: true, mayProtected: true })).toBe("LOADING Redis is loading the dataset in memory");
  expect(config.set(["hz", "1", "HZ", "2"], free)).toBe("ERR CONFIG SET failed (possibly related to argument 'HZ') - duplicate parameter");
  // An alias is another name and passes, as in Redis; the last one wins.
  expect(config.set(["replica-priority", "1", "slave-priority", "2"], free)).toBeNull();
  expect(config.number("replica-priority")).toBe(2);
});

test("a failing hook undoes everything, with its own text, and runs again on the old values", () => {
  const warnings: string[] = [];
  const config = new Config({ warn: (text) => warnings.push(text) });
  const seen: number[] = [];
  const copies: number[] = [];
  config.watch("port", (c) => copies.push(c.number("port")));
  config.hook(["port", "bind"], (c) => {
    seen.push(c.number("port"));
    return c.number("port") === 1 ? "Unable to listen on this port. Check server logs." : null;
  });
  expect(config.set(["maxclients", "5", "port", "1", "bind", "127.0.0.1"], free)).toBe(
    "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.",
  );
  expect(seen).toEqual([1, 6379]);
  expect(copies).toEqual([6379, 1, 6379]);
  expect(config.number("maxclients")).toBe(10000);
  expect(config.special("bind")).toEqual(["*", "-::*"]);
  expect(warnings).toEqual(["Failed applying new configuration. Possibly related to new port setting. Restoring previous settings."]);
  expect(config.set(["port", "2"], free)).toBeNull();
  expect(seen).toEqual([1, 6379, 2]);
  // Nothing changed, nothing to act on.
  expect(config.set(["port", "2"], free)).toBeNull();
  expect(seen.length).toBe(3);
});

test("numbers keep their exact text beyond 2^53, percentages and octals their form", () => {
  const config = new Config();
  config.set(["maxmemory", "18446744073709551615"], free);
  expect(config.show("maxmemory")).toBe("18446744073709551615");
  config.set(["maxmemory-clients", "5%"], free);
  expect([config.show("maxmemory-clients"), config.number("maxmemory-clients")]).toEqual(["5%", -5]);
  expect(config.set(["maxmemory-clients", "101%"], free)).toContain("percentage argument must be less or equal to 100");
  expect(config.readLine(["unixsocketperm", "700"])).toBeNull();
  expect([config.show("unixsocketperm"), config.number("unixsocketperm")]).toEqual(["700", 0o700]);
  config.set(["hz", "100000"], free);
  expect(config.number("hz")).toBe(500);
});

test("dir is the working directory and goes back on a failure", () => {
  let cwd = "/start";
  const chdir = (path: string): void => {
    if (path === "/gone") throw Object.assign(new Error("x"), { code: "ENOENT" });
    cwd = path;
  };
  const config = new Config({ chdir, cwd: () => cwd });
  expect(config.set(["dir", "/gone"], free)).toBe("ERR CONFIG SET failed (possibly related to argument 'dir') - No such file or directory");
  expect(config.set(["dir", "/tmp", "hz", "x"], free)).toContain("'hz'");
  expect(config.show("dir")).toBe("/start");
  expect(config.set(["dir", "/tmp"], free)).toBeNull();
  expect(config.show("dir")).toBe("/tmp");
});

test("enumerations: aliases, flag sets, refused words", () => {
  const config = new Config();
  config.set(["oom-score-adj", "Relative", "shutdown-on-sigterm", "now nosave"], free);
  expect(config.show("oom-score-adj")).toBe("yes");
  expect(config.show("shutdown-on-sigterm")).toBe("nosave now");
  expect(config.set(["shutdown-on-sigint", "save nosave"], free)).toContain("SAVE and NOSAVE can't be used simultaneously");
  expect(config.set(["appendfsync", "sometimes"], free)).toBe(
    "ERR CONFIG SET failed (possibly related to argument 'appendfsync') - argument(s) must be one of the following: everysec, always, no",
  );
});

test("a Sentinel starts from its own defaults", () => {
  const config = new Config({ sentinel: true });
  expect([config.number("port"), config.bool("protected-mode")]).toEqual([26379, false]);
});
