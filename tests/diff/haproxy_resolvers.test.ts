/**
 * Servers given by name, with a name server on loopback: the real haproxy 2.6 and ours (strict-haproxy on) find, lose and follow the same
 * addresses and say the same of it.
 */
import { afterAll, beforeAll } from "bun:test";
import { admin, stat } from "../support/admin.ts";
import { NameServer } from "../support/dns.ts";
import { echo, sameLives, type Life, type Scene } from "../support/haproxy_lives.ts";
import { until } from "../support/programs.ts";

let dns: NameServer;
beforeAll(async () => {
  dns = await NameServer.start();
});
afterAll(async () => {
  await dns[Symbol.asyncDispose]();
});

const SECTION = `resolvers d
 nameserver ns1 127.0.0.1:{dns}
 resolve_retries 2
 timeout resolve 200ms
 timeout retry 200ms
 hold valid 300ms
 hold nx 600ms
 hold refused 600ms
 hold timeout 600ms
 hold other 600ms
 hold obsolete 0s
`;
const section = (servers: string, obsolete = "0s"): string =>
  `${SECTION.replace("obsolete 0s", `obsolete ${obsolete}`)}frontend f\n bind 127.0.0.1:{port}\n no log\n default_backend b\nbackend b\n${servers}`;

/** Waits until the servers' addresses and states are these; then they are noted. */
async function servers(scene: Scene, wanted: string): Promise<void> {
  let seen = "";
  await until(
    `${scene.kind}: ${wanted}`,
    async () => {
      const rows = (await stat(scene.sock)).filter((r) => r["pxname"] === "b" && r["svname"] !== "BACKEND");
      seen = rows.map((r) => `${r["addr"]!.replace(`:${scene.a!.port}`, "")} ${r["status"]}`).join(", ");
      return seen === wanted;
    },
    8000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; has ${seen}\n${scene.proxy.output}`);
  });
  scene.note(seen);
}

const lives: (Life & { before: () => void })[] = [
  {
    name: "found late, moved, lost, found again",
    before: () => dns.names.set("one.test", { code: 3 }),
    config: section(" server a one.test:{a} resolvers d init-addr none resolve-prefer ipv4\n"),
    a: echo,
    async run(scene) {
      await servers(scene, " MAINT (resolution)");
      dns.names.set("one.test", { a: ["127.0.0.2"] });
      await servers(scene, "127.0.0.2 no check");
      await scene.lines(3);
      dns.names.set("one.test", { a: ["127.0.0.3"] });
      await servers(scene, "127.0.0.3 no check");
      await scene.lines(4);
      dns.names.set("one.test", { code: 3 });
      await servers(scene, " MAINT (resolution)");
      await scene.lines(6);
      dns.names.set("one.test", { a: ["127.0.0.3"] });
      await servers(scene, "127.0.0.3 no check");
      await scene.lines(9);
      dns.names.set("one.test", { code: 5 });
      await servers(scene, " MAINT (resolution)");
      dns.names.set("one.test", { a: ["127.0.0.4"] });
      await servers(scene, "127.0.0.4 no check");
      await scene.lines(14);
    },
  },
  {
    name: "a name server that goes silent",
    before: () => dns.names.set("two.test", { a: ["127.0.0.2"] }),
    config: section(" server a two.test:{a} resolvers d init-addr none resolve-prefer ipv4\n"),
    a: echo,
    async run(scene) {
      await servers(scene, "127.0.0.2 no check");
      await scene.lines(3);
      dns.names.set("two.test", { code: "silent" });
      await servers(scene, " MAINT (resolution)");
      await scene.lines(5);
    },
  },
  {
    name: "the address stays while it is one of several",
    before: () => dns.names.set("three.test", { a: ["127.0.0.2"] }),
    config: section(" server a three.test:{a} resolvers d init-addr none resolve-prefer ipv4\n"),
    a: echo,
    async run(scene) {
      await servers(scene, "127.0.0.2 no check");
      dns.names.set("three.test", { a: ["127.0.0.5", "127.0.0.2"] });
      const asked = dns.asked;
      await until("some answers", () => dns.asked > asked + 8);
      await servers(scene, "127.0.0.2 no check");
      await scene.lines(2);
    },
  },
  {
    name: "server-template: each address to one server, the rest wait",
    before: () => dns.names.set("many.test", { a: ["127.0.0.2", "127.0.0.3"] }),
    config: section(" server-template s 3 many.test:{a} resolvers d init-addr none resolve-prefer ipv4\n"),
    a: echo,
    async run(scene) {
      await until("two of them", async () => (await stat(scene.sock)).filter((r) => r["status"] === "no check").length === 2);
      dns.names.set("many.test", { a: ["127.0.0.2", "127.0.0.3", "127.0.0.4"] });
      await until("three of them", async () => (await stat(scene.sock)).filter((r) => r["status"] === "no check").length === 3);
      const addresses = async (): Promise<string[]> => (await stat(scene.sock)).filter((r) => r["status"] === "no check" && r["svname"] !== "BACKEND").map((r) => r["addr"]!.split(":")[0]!).sort(); // prettier-ignore
      scene.note(await addresses());
      dns.names.set("many.test", { a: ["127.0.0.2", "127.0.0.4"] });
      await until("two of them", async () => (await addresses()).length === 2);
      scene.note(await addresses());
    },
  },
  {
    name: "SRV records: ports, weights",
    before: () => {
      dns.names.set("_redis._tcp.test", { srv: [{ target: "h1.test", port: 1001, weight: 10 }, { target: "h2.test", port: 1002, weight: 20 }] }); // prettier-ignore
      dns.names.set("h1.test", { a: ["127.0.0.11"] });
      dns.names.set("h2.test", { a: ["127.0.0.12"] });
    },
    config: section(" server-template s 3 _redis._tcp.test resolvers d init-addr none resolve-prefer ipv4 check inter 60s\n"),
    a: echo,
    async run(scene) {
      const view = async (): Promise<string[]> => (await stat(scene.sock)).filter((r) => r["svname"]!.startsWith("s")).map((r) => `${r["addr"]!.startsWith("127") ? r["addr"] : "-"} ${r["uweight"]} ${r["status"]!.startsWith("MAINT") ? "MAINT" : "in use"}`).sort(); // prettier-ignore
      await until("two of them", async () => (await view()).filter((v) => v.endsWith("in use")).length === 2);
      scene.note(await view());
      dns.names.set("_redis._tcp.test", { srv: [{ target: "h2.test", port: 1002, weight: 30 }] });
      await until("one of them", async () => (await view()).filter((v) => v.endsWith("in use")).length === 1);
      scene.note(await view());
    },
  },
  {
    name: "no such section, set server fqdn, show resolvers",
    before: () => {
      dns.names.set("four.test", { a: ["127.0.0.2"] });
      dns.names.set("five.test", { a: ["127.0.0.6"] });
    },
    config: section(" server a four.test:{a} resolvers d init-addr none resolve-prefer ipv4\n"),
    a: echo,
    async run(scene) {
      await servers(scene, "127.0.0.2 no check");
      scene.note(await admin(scene.sock, "set server b/a fqdn five.test"));
      await servers(scene, "127.0.0.6 no check");
      scene.note(await admin(scene.sock, "show resolvers nosuch"));
      const counters = (await admin(scene.sock, "show resolvers d")).replace(/: +\d+/g, ": N");
      scene.note(counters);
    },
  },
];

sameLives(lives.map((l) => ({ ...l, values: () => (l.before(), { dns: String(dns.port) }) })));
