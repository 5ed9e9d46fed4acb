/**
 * `option httpchk` and `http-check` in the real haproxy 2.6 and ours (strict-haproxy on): the same requests, the same findings about the same
 * answers, the same states.
 */
import { stat } from "../support/admin.ts";
import { sameLives, type Life, type Scene } from "../support/haproxy_lives.ts";
import { until } from "../support/programs.ts";

/** What the server answers to the check, and what it was asked last. */
let answer = "";
let asked = "";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const section = (rules: string[], server = ""): string =>
  `frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n option log-health-checks\n${rules.map((r) => ` ${r}\n`).join("")} server a 127.0.0.1:{a} check inter 400ms fall 1${server}\n`;

/** One check, or as many as it takes until `lines` lines are there. */
const one = (name: string, rules: string[], reply: string, lines = 1): Life => ({
  name: `${name}: ${rules.join("; ")}`,
  config: section(rules),
  values: () => ((answer = reply), (asked = ""), {}),
  a: (s) => {
    s.on("data", (d) => {
      asked = d.toString("latin1");
      if (answer !== "") s.end(answer);
    });
  },
  async run(scene) {
    await scene.lines(lines);
    scene.note(asked);
    await state(scene);
  },
});
async function state(scene: Scene): Promise<void> {
  const names = ["status", "check_status", "check_code", "last_chk", "check_desc", "check_health"];
  await until("no check under way", async () => {
    const r = (await stat(scene.sock)).find((x) => x["svname"] === "a")!;
    if (r["check_status"]!.startsWith("* ")) return false;
    scene.note(names.map((n) => r[n]).join(" | "));
    return true;
  });
}

const lives: Life[] = [
  one("passes", ["option httpchk"], OK),
  one("a URI", ["option httpchk /health"], OK),
  one("a redirection passes", ["option httpchk GET / HTTP/1.1"], "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\n\r\n"),
  one("hidden headers", ["option httpchk GET / HTTP/1.1\\r\\nHost:\\ x\\r\\nX-Why:\\ because"], OK),
  one("wrong status", ["option httpchk GET /health"], "HTTP/1.0 503 Service Unavailable\r\n\r\n", 2),
  one("a status without words", ["option httpchk"], "HTTP/1.0 500\r\n\r\n", 2),
  one("a request", ["option httpchk", "http-check send meth POST uri /x ver HTTP/1.1 hdr Host a hdr X-Y z body hi"], OK),
  one("no HTTP", ["option httpchk"], "*1\r\n$4\r\nPONG\r\n", 2),
  one("cut off", ["option httpchk"], "HTTP/1.1 200", 2),
  one("an end without a word", ["option httpchk", "timeout check 300ms"], "", 2),
  one("gone, and that takes it out softly", ["option httpchk", "http-check disable-on-404"], "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 2),
  one("statuses", ["option httpchk", "http-check expect status 201,300-302"], OK, 2),
  one("statuses", ["option httpchk", "http-check expect status 200"], OK),
  one("not that status", ["option httpchk", "http-check expect ! status 200"], OK, 2),
  one("statuses by pattern", ["option httpchk", "http-check expect rstatus ^3"], OK, 2),
  one("content", ["option httpchk", "http-check expect string hello"], OK),
  one("content", ["option httpchk", "http-check expect string nope comment why"], OK, 2),
  one("content by pattern", ["option httpchk", "http-check expect rstring ^n.pe"], OK, 2),
  one("unwanted content", ["option httpchk", "http-check expect ! string ell"], OK, 2),
  one("no content", ["option httpchk", "http-check expect string nope"], "HTTP/1.1 200 OK\r\n\r\n", 2),
  one("a header", ["option httpchk", "http-check expect hdr name X-Role value master"], "HTTP/1.1 200 OK\r\nx-role: master\r\nContent-Length: 0\r\n\r\n"),
  one("a header", ["option httpchk", "http-check expect hdr name X-Role value master"], "HTTP/1.1 200 OK\r\nX-Role: slave\r\nContent-Length: 0\r\n\r\n", 2),
  one("two expectations", ["option httpchk", "http-check expect status 200", "http-check expect string nope"], OK, 2),
  {
    ...one("404 comes and goes", ["option httpchk", "http-check disable-on-404"], OK),
    async run(scene) {
      await scene.lines(1);
      answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
      await scene.lines(4);
      await state(scene);
      answer = OK;
      await scene.lines(6);
      await state(scene);
      answer = "HTTP/1.1 500 Oh\r\n\r\n";
      await scene.lines(9);
      // One that is down already has failed.
      answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
      await until("the next check", async () => (await stat(scene.sock)).some((r) => r["check_code"] === "404"));
      await state(scene);
    },
  },
]; // prettier-ignore
sameLives(lives);
