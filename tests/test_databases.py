import sqlalchemy


def test_each_test_gets_a_new_empty_database(empty_database_url: str) -> None:
    engine = sqlalchemy.create_engine(empty_database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE only_once (x INTEGER)")
    assert sqlalchemy.inspect(engine).get_table_names() == ["only_once"]
    engine.dispose()
