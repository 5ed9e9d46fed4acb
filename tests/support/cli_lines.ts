/**
 * What people type behind redis-cli. One line of each text is one command line, in order, against a server that keeps its data between
 * them. `<< text` gives standard input (with \n for newlines). Quotes are the shell's.
 */
export const CLI_LINES = `
ping
ping hello
echo "with spaces"
set key value
get key
get nokey
--no-raw get nokey
--no-raw get key
--csv get key
--json get key
--quoted-json get key
-3 get nokey
-3 --no-raw get nokey
-3 --csv get nokey
append key more
strlen key
--no-raw strlen key
--csv strlen key
--json strlen key
incr counter
incrby counter 41
--no-raw incrbyfloat counter 0.5
set bin "a\\x00b"
--quoted-input set "\\"bin\\"" "\\"a\\x00b\\x01\\xff\\\\n\\""
--no-raw get bin
--csv get bin
--json get bin
--quoted-json get bin
strlen bin
--quoted-input get "\\"no end"
--quoted-input get "two words"
set utf8 "grün"
get utf8
--no-raw get utf8
--json get utf8
--quoted-json get utf8
--csv get utf8
mset a 1 b 2 c 3
mget a b c nokey
--no-raw mget a b c nokey
--csv mget a b c nokey
--json mget a b c nokey
-d , mget a b c
-d "<>" -D "END\\n" mget a b c
-D "" --raw get a
rpush list one two three four five six seven eight nine ten eleven
--no-raw lrange list 0 -1
--no-raw lrange list 0 2
lrange list 0 -1
--csv lrange list 0 -1
--json lrange list 0 -1
--no-raw lrange nolist 0 -1
lrange nolist 0 -1
--csv lrange nolist 0 -1
--json lrange nolist 0 -1
--no-raw lpop list 2
--no-raw llen list
hset hash f1 v1 f2 v2
hgetall hash
--no-raw hgetall hash
-3 hgetall hash
-3 --no-raw hgetall hash
-3 --csv hgetall hash
--json hgetall hash
-2 --json hgetall hash
--quoted-json hgetall hash
-3 --no-raw hgetall nohash
-3 --json hgetall nohash
sadd ints 1 2 3
smembers ints
--no-raw smembers ints
-3 --no-raw smembers ints
-3 smembers ints
-3 --csv smembers ints
--json smembers ints
-3 --no-raw smembers noset
zadd z 1 one 2.5 two 3 three
zrange z 0 -1 withscores
--no-raw zrange z 0 -1 withscores
-3 --no-raw zrange z 0 -1 withscores
-3 zrange z 0 -1 withscores
-3 --csv zrange z 0 -1 withscores
--json zrange z 0 -1 withscores
-3 --no-raw zscore z two
-3 zscore z two
zscore z two
xadd stream 1-1 field value other "a b"
xadd stream 1-2 field value
xrange stream - +
--no-raw xrange stream - +
-3 --no-raw xrange stream - +
--csv xrange stream - +
--json xrange stream - +
--no-raw xread streams stream 0
-3 --no-raw xread streams stream 0
--json xread streams stream 0
--no-raw xinfo stream stream
-3 --no-raw xinfo stream stream
-3 --no-raw xinfo stream stream full
type key
--no-raw type key
exists key a nokey
del a b
expire key 1000
ttl key
persist key
object encoding list
--no-raw object encoding counter
rename key key2
rename nokey other
--no-raw rename nokey other
--csv rename nokey other
--json rename nokey other
--quoted-json rename nokey other
-e rename nokey other
-e get key2
nosuchcommand
--no-raw nosuchcommand a b
-e nosuchcommand
get
--no-raw get
incr list
-n 3 set in3 yes
-n 3 get in3
-n 3 dbsize
-n 99 ping
-n 3 --no-raw keys *
select 3
dbsize
-r 3 incr counter3
-r 2 --no-raw incr counter3
-r 2 -i 0.01 --csv incr counter3
-r 0 incr counter3
get counter3
-x set fromstdin << some text\\nof two lines\\n
get fromstdin
--no-raw get fromstdin
-x append fromstdin <<
-X TAG set TAG fixed << tagname
get tagname
-X TAG set other fixed << tagname
-x -X TAG set other TAG
<< ping\\nset r 1\\nget r\\nnope\\nget\\n
<< "unclosed\\nping\\n
<< 3 incr repeated\\n-1 incr repeated\\nquit\\nping\\n
--no-raw << hset h a 1\\nhgetall h\\nget nokey\\n
--csv << mget r nokey\\n
--json << mget r nokey\\n
-3 --no-raw << hgetall h\\nreset\\nhgetall h\\n
<< multi\\nset t 1\\nincr t\\nexec\\n
--no-raw << multi\\nset t 1\\nget\\nexec\\n
<< multi\\nset t 9\\ndiscard\\nget t\\n
<< select 2\\nset two 2\\nselect 0\\nget two\\n
<< help\\n
<< :set nohints\\n:nonsense\\nrestart\\n
multi
exec
--no-raw exec
subscribe
--no-raw object help
object help
--no-raw config get maxmemory
config get maxmemory
--csv config get maxmemory
--json config get maxmemory
-3 --no-raw config get maxmemory
config set maxmemory-policy allkeys-lfu
set hot 1
--no-raw config set nosuch 1
info nosuchsection
--no-raw info nosuchsection
memory doctor
--no-raw memory doctor
latency doctor
client getname
--no-raw client getname
client setname me
-u redis://127.0.0.1:PORT/3 dbsize
-u redis://127.0.0.1:PORT get r
-u redis://user:pass@127.0.0.1:PORT ping
-u nonsense://x ping
-u redis://a%zz@127.0.0.1:PORT ping
-u redis://a%4 ping
-a wrong ping
-a wrong --no-auth-warning ping
--user nobody --pass x ping
--no-auth-warning --user nobody -a x get r
-p 1 ping
-p 1
-p 1 << ping\\n
-h 127.0.0.1 ping
-h no.such.host.invalid ping
-s /nonexistent/socket ping
--nosuchoption
-p
-2 -3 ping
-c -s /x ping
-2 ping
-3 ping
eval "return {1,2,{3,'four'},false}" 0
--no-raw eval "return {1,2,{3,'four'},false}" 0
--no-raw eval "return {{},{{}},{{1}}}" 0
--csv eval "return {1,{2,{3}}}" 0
--json eval "return {1,{2,{'a'}}}" 0
--eval SCRIPT k1 k2 , a1 a2
--eval SCRIPT
--eval /no/such/file
-3 --no-raw debug protocol map
-3 --no-raw debug protocol set
-3 --no-raw debug protocol double
-3 --no-raw debug protocol verbatim
-3 --no-raw debug protocol true
-3 --no-raw debug protocol null
-3 debug protocol map
-3 debug protocol verbatim
-3 debug protocol true
-3 --csv debug protocol map
-3 --csv debug protocol true
--json debug protocol map
--json debug protocol set
--json debug protocol double
--json debug protocol true
--json debug protocol null
--json debug protocol verbatim
--no-raw debug protocol map
--scan
--scan --pattern f*
--no-raw --scan --pattern b*
--scan --quoted-pattern "\\"r\\""
--scan --quoted-pattern "\\"open"
--bigkeys
--memkeys
--memkeys-samples 2
--hotkeys
--bigkeys --pattern z*
-n 5 --bigkeys
--pipe << PIPE
--pipe << *1\\r\\n$4\\r\\nNOPE\\r\\n
--rdb - --functions-rdb x
help get
help @transactions
help config set
help @nosuch
help
HELP XADD
? zrange
cluster info
--no-raw cluster info
command count
--no-raw command getkeys mset a 1 b 2
--no-raw command info get
-3 --no-raw command info get
--show-pushes maybe ping
--raw --no-raw get r
--csv --raw get r
--no-raw sort ints desc
--no-raw scan 0 match nothing* count 1000
bitfield bf set u8 0 255 get u8 0
--no-raw bitfield bf get u8 0
--no-raw geopos nokey x
quit
--no-raw quit
exit
flushall
dbsize
`
  .split("\n")
  .filter((line) => line !== "");
