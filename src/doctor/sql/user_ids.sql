-- How many users there are, and a sum of hashes of their ids.
SELECT count(*), coalesce(sum(('x' || left(md5(id::text), 16))::bit(64)::bigint::numeric), 0)::text FROM users
