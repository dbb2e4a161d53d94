(class_declaration (type_identifier) @definition.class)
(object_declaration (type_identifier) @definition.class)
(type_alias . (type_identifier) @definition.type)
(function_declaration (simple_identifier) @definition.function)
(source_file (property_declaration (variable_declaration (simple_identifier) @definition.variable)))

(package_header (identifier) @package)
(import_header) @import

(user_type (type_identifier) @use)
(call_expression (simple_identifier) @use)
(navigation_expression . (simple_identifier) @use)
(call_expression (navigation_expression (navigation_suffix (simple_identifier) @use.member)))
