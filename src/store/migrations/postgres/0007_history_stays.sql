-- Events are added and never changed or taken away.
CREATE FUNCTION afterimage_history_stays() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'history is only added to'; END $$;

CREATE TRIGGER afterimage_history_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON afterimage_history
    FOR EACH STATEMENT EXECUTE FUNCTION afterimage_history_stays();
