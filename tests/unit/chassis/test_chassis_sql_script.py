"""Scripts of migrations are split where a statement ends, and nowhere else."""

from signalbox_chassis.persistence.sql_script import split


def test_a_semicolon_ends_a_statement_only_outside_of_texts_bodies_and_comments() -> None:
    script = """
    -- a comment; with a semicolon
    CREATE TABLE a (b text DEFAULT 'x;y''z;');  CREATE INDEX "odd;name" ON a (b);
    CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; RETURN 1; END $$;
    CREATE FUNCTION g() RETURNS text LANGUAGE sql AS $body$ SELECT '$$;' $body$;
    /* the end; */
    """
    starts = ["-- a comment", 'CREATE INDEX "odd;name" ON a (b)', "CREATE FUNCTION f()", "CREATE FUNCTION g()"]
    found = split(script)
    assert [statement.startswith(start) for statement, start in zip(found, starts, strict=True)] == [True] * 4
    assert found[0].endswith("'x;y''z;')")


def test_nothing_is_no_statement() -> None:
    assert split(" ;\n; -- only a comment\n") == []
