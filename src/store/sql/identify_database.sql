-- What tells this database from every other one: the identifier of the cluster, which initdb
-- chooses at random, and the number of the database in it.
SELECT s.system_identifier::text || '/' || d.oid::text
FROM pg_catalog.pg_database AS d, pg_catalog.pg_control_system() AS s
WHERE d.datname = current_database()
