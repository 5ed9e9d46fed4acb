/**
 * `./build.sh bench NAME [ARG...]`: measures redisha and the original in one run, in turn, and prints both figures and the ratio.
 * Nothing here asserts: a benchmark tells, people judge. One benchmark at a time and nothing else beside it.
 */
const names = ["server", "memory", "proxy", "sentinel", "failover", "histories", "growth", "snapshot", "sync", "aof", "connections"];
const [name, ...args] = process.argv.slice(2);
if (name === undefined || !names.includes(name) || !(await Bun.file(`${import.meta.dir}/${name}.ts`).exists())) {
  console.error(`usage: ./build.sh bench NAME    NAME one of: ${names.join(" ")}`);
  process.exit(2);
}
const { bench } = (await import(`./${name}.ts`)) as { bench(args: string[]): Promise<void> };
await bench(args);
process.exit(0);
