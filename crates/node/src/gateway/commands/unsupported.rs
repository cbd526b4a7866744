//! Commands that Redis has and this gateway has not, with the reason.

/// The name in upper case, and why it is not supported; `None` if Redis does not know it either.
pub(super) fn why(name: &[u8]) -> Option<(String, &'static str)> {
    let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= LONGEST)?;
    let lower = name.to_ascii_lowercase();
    let (_, why) = REASONS.iter().find(|(names, _)| names.split_ascii_whitespace().any(|one| one == lower))?;
    Some((lower.to_ascii_uppercase(), why))
}

/// Names, and the reason that they share. The order does not matter.
const REASONS: &[(&str, &str)] = &[
    ("touch", "access times are not kept; use EXISTS"),
    (
        "expire expireat expiretime getex persist pexpire pexpireat pexpiretime psetex pttl setex ttl",
        "nothing expires here",
    ),
    (
        "discard exec msetnx multi unwatch watch",
        "every command is one atomic transaction; use MSET, MGET or DEL for several keys",
    ),
    (
        "bitcount bitfield bitfield_ro bitop bitpos blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax \
         bzpopmin geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro \
         geosearch geosearchstore getbit getrange hdel hexists hget hgetall hincrby hincrbyfloat hkeys hlen \
         hmget hmset hrandfield hscan hset hsetnx hstrlen hvals incrbyfloat lcs lindex linsert llen lmove \
         lmpop lpop lpos lpush lpushx lrange lrem lset ltrim pfadd pfcount pfdebug pfmerge pfselftest rpop \
         rpoplpush rpush rpushx sadd scard sdiff sdiffstore setbit setrange sinter sintercard sinterstore \
         sismember smembers smismember smove sort sort_ro spop srandmember srem sscan substr sunion \
         sunionstore xack xadd xautoclaim xclaim xdel xgroup xinfo xlen xpending xrange xread xreadgroup \
         xrevrange xsetid xtrim zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard zinterstore \
         zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore zrangestore \
         zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore \
         zrevrank zscan zscore zunion zunionstore",
        "values are plain strings",
    ),
    ("keys randomkey scan", "entries cannot be listed through the gateway"),
    ("copy dump move object rename renamenx restore swapdb", "an entry keeps its name and its owner"),
    ("flushall flushdb", "nobody can empty a ledger; delete entries by name"),
    (
        "psubscribe publish pubsub punsubscribe spublish ssubscribe subscribe sunsubscribe unsubscribe",
        "there is no publishing or subscribing",
    ),
    ("eval eval_ro evalsha evalsha_ro fcall fcall_ro function script", "the ledger executes no scripts"),
    (
        "asking bgrewriteaof bgsave cluster failover lastsave psync readonly readwrite replconf replicaof \
         role save slaveof sync wait waitaof",
        "the replicas agree by themselves and write everything to disk before they answer",
    ),
    (
        "acl debug latency lolwut memory module monitor shutdown slowlog time",
        "use the command line tool `bezant` to operate the network",
    ),
];

/// Longer than any name above.
const LONGEST: usize = 32;
